/** Which topics have chains, and the keys that sign their checkpoints. */
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { KeyError, readSigningKeys } from '../audit/keys.ts'
import type { TopicKind } from '../log/topics.ts'
import { listed, SettingError } from '../settings/setting.ts'

/** Topics that are never compacted, one partition for each shard. */
export const chainedKinds = ['messages', 'lifecycle', 'sessions', 'inbox'] as const satisfies readonly TopicKind[]
export type ChainedKind = (typeof chainedKinds)[number]

export interface AuditConfig {
  readonly kinds: readonly ChainedKind[]
  /** The first signs. */
  readonly keys: readonly [KeyObject, ...KeyObject[]]
}

/** Undefined when there are none. Throws SettingError. */
export function readAuditConfig({ AUDIT_CHAIN, AUDIT_KEY }: { readonly AUDIT_CHAIN: string; readonly AUDIT_KEY: string }): AuditConfig | undefined {
  if (AUDIT_CHAIN === 'off') return undefined
  const asked = listed(AUDIT_CHAIN)
  const unknown = asked.find((kind) => !chainedKinds.some((known) => known === kind))
  if (unknown !== undefined || asked.length === 0) {
    throw new SettingError('AUDIT_CHAIN', `“${unknown ?? AUDIT_CHAIN}” is neither off nor one of ${chainedKinds.join(', ')}, separated by commas`)
  }
  if (AUDIT_KEY === '') throw new SettingError('AUDIT_KEY', 'is needed with AUDIT_CHAIN: a file that “openssl genpkey -algorithm ed25519” makes')
  return { kinds: chainedKinds.filter((kind) => asked.includes(kind)), keys: readKeys(AUDIT_KEY) }
}

function readKeys(file: string): AuditConfig['keys'] {
  try {
    return readSigningKeys(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new SettingError('AUDIT_KEY', `the file “${file}” ${error instanceof KeyError ? error.message : `cannot be read: ${(error as Error).message}`}`)
  }
}
