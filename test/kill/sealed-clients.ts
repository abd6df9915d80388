/** Publishers whose messages are sealed in the log: they come under one registered name that has ERASABLE_ATTRIBUTE. */
import { open, sealedWith } from '../../schemas/sealed-message.ts'
import type { Stack } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'

export const erasableAttribute = 'personal'
export const sealedCredentials = { username: 'sealed', password: 'correct-horse-battery' } as const

/** Makes the client known; resolves when every gateway has it, for to others its name is a stranger's. */
export async function registerSealed(stack: Stack): Promise<void> {
  const { username, password } = sealedCredentials
  const client = { attributes: { [erasableAttribute]: 1 }, clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } }
  const answers = [
    await stack.api('PUT', `/namespaces/default/clients/${username}`, { ...client, passwordAuthentication: { password } }),
    await stack.api('PUT', '/namespaces/default/permissionBindings/sealed-pub', {
      clientGroupName: '$all',
      topicSpaceName: 'everything',
      permission: 'Publisher',
    }),
  ]
  for (const { status, body } of answers) if (status >= 300) throw new Error(`the registry answered ${status}: ${JSON.stringify(body)}`)
  await stack.settled()
}

/** Opens payloads with the keys that stand in the log now: undefined when it is not sealed. Throws when it cannot be opened. */
export async function opener(stack: Stack): Promise<(payload: Buffer, topic: string) => Buffer | undefined> {
  const records = await readRecords(stack.brokers, `${stack.prefix}.default.keys`, 'ClientKey')
  const keys = new Map(records.map(({ value: { id, key } }) => [id.toString('hex'), key]))
  return (payload, topic) => {
    const id = sealedWith(payload)?.toString('hex')
    if (id === undefined) return undefined
    const key = keys.get(id)
    const opened = key && open(payload, key, topic)
    if (!opened) throw new Error(`a message on ${topic} cannot be opened: its key ${id} is ${key ? 'another' : 'not in the log'}`)
    return opened.payload
  }
}
