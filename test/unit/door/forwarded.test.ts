import { expect, test } from '@jest/globals'
import { forwardedHeaders, returnedHeaders } from '../../../door/forwarded.ts'

const peer = { address: '192.0.2.7', encrypted: false }

test('what claims another origin is replaced by the true origin', () => {
  const claimed = {
    host: 'broker:8080',
    forwarded: 'for=127.0.0.1',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-client-cert': 'x',
    'x-real-ip': '127.0.0.1',
  }
  expect(forwardedHeaders(claimed, peer)).toEqual({
    host: 'broker:8080',
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'broker:8080',
  })
})

test('what concerns one connection alone stays behind, the key and the body do not', () => {
  const headers = {
    connection: 'close, x-mine, authorization, content-length',
    'x-mine': '1',
    'keep-alive': 'timeout=5',
    te: 'trailers',
    upgrade: 'websocket',
    expect: '100-continue',
    authorization: 'Bearer k',
    'content-length': '3',
    'ce-id': '7',
  }
  expect(forwardedHeaders(headers, { address: '::1', encrypted: true })).toEqual({
    authorization: 'Bearer k',
    'content-length': '3',
    'ce-id': '7',
    'x-forwarded-for': '::1',
    'x-forwarded-proto': 'https',
  })
})

test('an answer comes back without the headers of its own connection', () => {
  expect(returnedHeaders({ connection: 'close, x-hop', 'x-hop': '1', 'transfer-encoding': 'chunked', 'content-type': 'a/b' })).toEqual({
    'content-type': 'a/b',
  })
})
