/**
 * What docker-compose.yml's services share, made before they start: the keys, the development certificates, and the
 * certificates of mutual TLS between routers and gateways, under a CA that signs nothing else: a device's certificate
 * opens no gRPC port. The arguments are the names under which gateways are reached.
 */
import { join } from 'node:path'
import { makeDevelopmentCertificates } from '../access/certificates.ts'
import { readSettings } from '../settings/setting.ts'
import { settings } from './config.ts'
import { keyFile } from './key-file.ts'

const { LOGGERHEAD_DATA, LOGGERHEAD_PROFILE } = readSettings(
  { LOGGERHEAD_DATA: settings.LOGGERHEAD_DATA, LOGGERHEAD_PROFILE: settings.LOGGERHEAD_PROFILE },
  process.env,
)
const hosts = process.argv.slice(2)

keyFile(join(LOGGERHEAD_DATA, 'api-key'))
keyFile(join(LOGGERHEAD_DATA, 'internal-key'))
await makeDevelopmentCertificates(join(LOGGERHEAD_DATA, 'grpc-certificates'), { hosts, clientName: 'router' })
if (LOGGERHEAD_PROFILE === 'development') await makeDevelopmentCertificates(join(LOGGERHEAD_DATA, 'certificates'), { hosts, clientName: 'sample_client' })
