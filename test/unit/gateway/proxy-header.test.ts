/** The PROXY protocol of HAProxy, version 2, section 2.2 of its specification. */
import { expect, test } from '@jest/globals'
import { readProxyHeader } from '../../../gateway/proxy-header.ts'
import fc from '../../support/fast-check.ts'

const signature = '0d0a0d0a000d0a515549540a'
const bytes = (...hex: string[]) => Buffer.from(hex.join(''), 'hex')
const ipv4 = bytes(signature, '21', '11', '000c', 'c0000201', 'c6336401', 'd431', '22b3')
const ipv6 = bytes(signature, '21', '21', '0024', '20010db8000000000000000000000001', '20010db8000000000000000000000002', 'd431', '22b3')
const most = 1024

test('IPv4 and IPv6 over a stream: the source’s address, as Node spells it', () => {
  expect(readProxyHeader(ipv4, most)).toEqual({ is: 'complete', size: 28, source: '192.0.2.1' })
  expect(readProxyHeader(ipv6, most)).toEqual({ is: 'complete', size: 52, source: '2001:db8::1' })
})

test('an IPv4 address that is mapped into IPv6 is that IPv4 address', () => {
  const header = bytes(signature, '21', '21', '0024', '00000000000000000000ffffc0000201', '00'.repeat(16), 'd431', '22b3')
  expect(readProxyHeader(header, most)).toMatchObject({ source: '192.0.2.1' })
})

test.each([ipv4, ipv6])('byte by byte: incomplete until the last one, never malformed, and what follows is not touched', (header) => {
  for (let size = 0; size < header.length; size++) {
    const read = readProxyHeader(header.subarray(0, size), most)
    expect(read).toEqual({ is: 'incomplete', size: size < 16 ? 16 : header.length })
  }
  expect(readProxyHeader(Buffer.concat([header, Buffer.from('10')]), most)).toMatchObject({ is: 'complete', size: header.length })
})

test.each(Array.from({ length: 12 }, (_, at) => at))('another byte at %i of the signature is malformed as soon as it is there', (at) => {
  const header = Buffer.from(ipv4)
  header[at] = (header[at] as number) ^ 1
  expect(readProxyHeader(header.subarray(0, at), most)).toMatchObject({ is: 'incomplete' })
  for (let size = at + 1; size <= header.length; size++) expect(readProxyHeader(header.subarray(0, size), most)).toMatchObject({ is: 'malformed' })
})

test('TLVs after the addresses are skipped', () => {
  const header = bytes(signature, '21', '11', '0013', 'c0000201', 'c6336401', 'd431', '22b3', '04', '0004', 'cafebabe')
  expect(readProxyHeader(header, most)).toEqual({ is: 'complete', size: 35, source: '192.0.2.1' })
})

test('LOCAL, UNSPEC and a UNIX socket name no client: the proxy’s own address stands', () => {
  const none = { is: 'complete', source: null }
  expect(readProxyHeader(bytes(signature, '20', '00', '0000'), most)).toMatchObject(none)
  expect(readProxyHeader(bytes(signature, '20', '11', '000c', '00'.repeat(12)), most)).toMatchObject(none)
  expect(readProxyHeader(bytes(signature, '20', 'ff', '0003', '000000'), most)).toMatchObject(none)
  expect(readProxyHeader(bytes(signature, '21', '00', '0000'), most)).toMatchObject(none)
  expect(readProxyHeader(bytes(signature, '21', '31', '00d8', '2f'.repeat(216)), most)).toMatchObject(none)
})

test.each([
  ['version 1 in the binary form', bytes(signature, '11', '11', '000c', '00'.repeat(12)), 'version 1 of the PROXY protocol, not 2'],
  ['the text form of version 1', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 54321 8883\r\n'), 'no PROXY protocol signature'],
  ['a TLS ClientHello', bytes('160301'), 'no PROXY protocol signature'],
  ['an MQTT CONNECT', bytes('101300044d515454'), 'no PROXY protocol signature'],
  ['an unknown command', bytes(signature, '22', '11', '000c', '00'.repeat(12)), 'the PROXY protocol has no command 2'],
  ['an unknown family', bytes(signature, '21', '41', '000c', '00'.repeat(12)), 'the PROXY protocol has no address family 4'],
  ['datagrams', bytes(signature, '21', '12', '000c', '00'.repeat(12)), 'no stream, but datagrams'],
  ['addresses cut short', bytes(signature, '21', '11', '000b', '00'.repeat(11)), 'shorter than its addresses'],
  ['more than may be', bytes(signature, '21', '11', '03f1'), 'a header of 1025 bytes, above 1024'],
])('%s is malformed', (_what, header, why) => {
  expect(readProxyHeader(header, most)).toEqual({ is: 'malformed', why, isTooLarge: why.startsWith('a header of') })
})

test('whatever bytes come, there is a verdict, and no header is asked to be longer than may be', () => {
  const start = fc.constantFrom(Buffer.alloc(0), bytes(signature), bytes(signature, '21'), bytes(signature, '2111'))
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (first, rest) => {
      const read = readProxyHeader(Buffer.concat([first, rest]), 200)
      if (read.is !== 'malformed') expect(read.size).toBeLessThanOrEqual(200)
    }),
  )
})
