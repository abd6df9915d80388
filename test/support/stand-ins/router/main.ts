import { standIn } from '../service.ts'

standIn('router', Number(process.env.INTERNAL_PORT))
