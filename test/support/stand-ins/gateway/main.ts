import { standIn } from '../service.ts'

standIn('gateway', Number(process.env.GRPC_PORT))
