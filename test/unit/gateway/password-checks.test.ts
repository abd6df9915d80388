import { expect, test } from '@jest/globals'
import { hashPassword } from '../../../access/password-hash.ts'
import { PasswordChecks } from '../../../gateway/password-checks.ts'

const password = Buffer.from('correct horse')
const hash = await hashPassword(password, 14)

function checks(but: { readonly concurrencyMax?: number; readonly rememberedMax?: number } = {}) {
  const seen = { waits: 0, forgotten: 0 }
  const made = new PasswordChecks({ concurrencyMax: 1, rememberedMax: 10, ...but, onWait: () => seen.waits++, onForgotten: () => seen.forgotten++ })
  return { seen, check: (text: Buffer, of = hash, isDecoy = false, isWanted = () => true) => made.check(text, of, isDecoy, isWanted) }
}

test('PASSWORD_CHECKS_MAX: further checks wait for their turn, and one that nobody wants any more is let go', async () => {
  const { seen, check } = checks()
  const answers = await Promise.all([check(password), check(Buffer.from('wrong')), check(password, hash, false, () => false), check(password)])
  expect(answers).toEqual([true, false, false, true])
  expect(seen.waits).toBe(3)
})

test('what was right takes no turn again; what was wrong, and what was only to take its time, does', async () => {
  const { seen, check } = checks()
  await check(password)
  const busy = check(Buffer.from('wrong'))
  expect(await check(password)).toBe(true)
  expect(seen.waits).toBe(0)
  expect(await check(password, hash, true)).toBe(false)
  expect(seen.waits).toBe(1)
  await busy
})

test('a changed password is another: the old one is not remembered for it', async () => {
  const { check } = checks()
  await check(password)
  expect(await check(password, await hashPassword(Buffer.from('another one'), 14))).toBe(false)
})

test('PASSWORDS_REMEMBERED_MAX: the one not used for longest is forgotten', async () => {
  const { seen, check } = checks({ rememberedMax: 1 })
  const other = await hashPassword(password, 14)
  await check(password)
  await check(password, other)
  expect(seen.forgotten).toBe(1)
})
