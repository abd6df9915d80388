/** Keys of checkpoints: Ed25519, in PEM. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

const block = /-----BEGIN ([A-Z ]*(?:PRIVATE|PUBLIC) KEY)-----[\s\S]*?-----END \1-----/g

/** A text that holds no usable key; the message says why, as the end of a sentence. */
export class KeyError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'KeyError'
  }
}

/** Private keys of a PEM text, in their order: the first signs, the others did before it. Throws KeyError. */
export function readSigningKeys(pem: string): readonly [KeyObject, ...KeyObject[]] {
  return atLeastOne(pem, 'PRIVATE KEY', (text) => createPrivateKey(text))
}

/** Public keys of a PEM text. Throws KeyError. */
export function readPublicKeys(pem: string): readonly [KeyObject, ...KeyObject[]] {
  return atLeastOne(pem, 'PUBLIC KEY', (text) => createPublicKey(text))
}

function atLeastOne(pem: string, label: string, parse: (text: string) => KeyObject): readonly [KeyObject, ...KeyObject[]] {
  const [first, ...others] = [...pem.matchAll(block)].filter(([, found]) => found === label).map(([text]) => parsed(text, parse))
  if (!first) throw new KeyError(`holds no block “BEGIN ${label}”`)
  return [first, ...others]
}

function parsed(text: string, parse: (text: string) => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = parse(text)
  } catch (error) {
    throw new KeyError(`holds a key that cannot be read: ${(error as Error).message}`)
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new KeyError(`holds a key of the kind ${key.asymmetricKeyType}; it must be ed25519`)
  return key
}
