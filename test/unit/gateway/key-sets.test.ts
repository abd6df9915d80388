import { expect, test } from '@jest/globals'
import { KeySets } from '../../../gateway/key-sets.ts'
import { makeTokenIssuer } from '../access/tokens.ts'

const source = { url: 'https://issuer.example/keys' }
const jwk = ({ kid, publicKey }: ReturnType<typeof makeTokenIssuer>) => ({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' })
const withdrawn = jwk(makeTokenIssuer({ kid: 'withdrawn' }))
const next = jwk(makeTokenIssuer({ kid: 'next' }))

function given() {
  const issuer = { keys: [withdrawn] as object[], isAway: false, time: 0, tooOld: 0, withdrawn: 0 }
  const sets = new KeySets({
    requests: {
      send: async () => {
        if (issuer.isAway) throw new Error('the issuer is away')
        return { status: 200, headers: {}, body: Buffer.from(JSON.stringify({ keys: issuer.keys })) }
      },
    },
    now: () => issuer.time,
    timeoutMs: 5000,
    bytesMax: 10_000,
    freshMs: 600_000,
    ageMaxMs: 900_000,
    betweenMs: 30_000,
    onFetched: () => {},
    onWithdrawn: () => issuer.withdrawn++,
    onTooOld: () => issuer.tooOld++,
  })
  const kids = async () => (await sets.keys(source, 'withdrawn')).map(({ kid }) => kid)
  return { issuer, kids, sets }
}

test('ISSUER_KEYS_AGE_MAX: a key that its issuer withdrew is not used once the set is too old: it is fetched first', async () => {
  const { issuer, kids } = given()
  expect(await kids()).toEqual(['withdrawn'])
  issuer.keys = [next]
  issuer.time = 3 * 86_400_000
  expect(await kids()).toEqual(['next'])
  expect(issuer.tooOld).toBe(1)
})

test('while the issuer is away its keys serve on, but not beyond their greatest age', async () => {
  const { issuer, kids } = given()
  await kids()
  issuer.isAway = true
  issuer.time = 899_999
  expect(await kids()).toEqual(['withdrawn'])
  issuer.time = 900_000 + 30_000
  await expect(kids()).rejects.toThrow('the issuer is away')
  issuer.isAway = false
  issuer.time += 30_000
  expect(await kids()).toEqual(['withdrawn'])
})

test('a set in use is fetched again without a token, and tells when a key is gone', async () => {
  const { issuer, kids, sets } = given()
  await kids()
  const [before] = sets.published.get(source.url) ?? []
  issuer.keys = [next]
  issuer.time = 600_000
  sets.look([source])
  while (issuer.withdrawn === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(sets.published.get(source.url)?.has(before ?? '')).toBe(false)
  sets.look([])
  expect(sets.published.size).toBe(0)
})
