/** What a connection's halves are made of in tests. */
import { Registry } from 'prom-client'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { GatewayMetrics } from '../../../gateway/metrics.ts'
import type { Output } from '../../../gateway/output.ts'
import type { Client } from '../../../gateway/protocol.ts'
import type { ConnectPacket } from '../../../mqtt/packet.ts'
import { protocolIndex } from '../../../telemetry/dimensions.ts'

export const config = readGatewayConfig({ RECEIVE_MAXIMUM: '3', MQTTS_PORT: 'off', WSS_PORT: 'off' })

/** What stands in the output, as hexadecimal packets of four or five bytes. */
export function taken(output: Output): string[] {
  const bytes = Buffer.concat(output.take())
  const packets: string[] = []
  for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] as number)) packets.push(bytes.toString('hex', at, at + 2 + (bytes[at + 1] as number)))
  return packets
}

export const connect = (rest: Partial<ConnectPacket> = {}): ConnectPacket => ({
  type: 'connect',
  protocolVersion: 5,
  bridge: false,
  clientId: 'c',
  cleanStart: true,
  keepAlive: 60,
  properties: {},
  ...rest,
})

export const clientOf = (protocolVersion: 4 | 5, receiveMaximum = 10): Client => ({
  clientId: 'c',
  protocolVersion,
  protocol: protocolIndex(protocolVersion, false),
  cleanStart: false,
  isBridge: false,
  sessionExpiryInterval: 100,
  keepAlive: 0,
  receiveMaximum,
  maximumPacketSize: 0,
  wantsProblemInformation: false,
  topicAliasMaximum: 0,
  wantsResponseInformation: false,
  wantsProvenance: false,
  will: null,
  announced: {
    receiveMaximum: config.RECEIVE_MAXIMUM,
    maximumPacketSize: 524_288,
    topicAliasMaximum: 32,
    maximumQoS: 2,
    retainAvailable: true,
    subscriptionIdentifiersAvailable: true,
  },
  authenticationMethod: undefined,
  told: {},
})

export const metricsOf = (): GatewayMetrics =>
  new GatewayMetrics(new Registry(), () => ({
    connections: 0,
    pausedConnections: 0,
    kafkaPendingBytes: 0,
    linkedRouters: 0,
    registryUnconfirmedMs: 0,
    authenticationsPending: 0,
    sealingKeys: 0,
    unreadable: [],
  }))
