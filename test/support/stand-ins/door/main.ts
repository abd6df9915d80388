import { standIn } from '../service.ts'

standIn('door', Number(process.env.HTTP_PORT))
