import { standIn } from '../service.ts'

standIn('registry', Number(process.env.INTERNAL_PORT))
