/** Payloads are any bytes: text where they are UTF-8, base64 otherwise. */
export function readable(payload: Buffer): { readonly payload?: string; readonly payloadBase64?: string } {
  const text = payload.toString('utf8')
  return Buffer.from(text).equals(payload) ? { payload: text } : { payloadBase64: payload.toString('base64') }
}
