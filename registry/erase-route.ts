/** `POST /namespaces/{ns}/clients/{authentication name}:erase`: nobody reads again what the client has published. */
import type { FastifyInstance } from 'fastify'
import { Problem } from './problem.ts'

const eraseAction = ':erase'

export function addEraseRoute(api: FastifyInstance): void {
  api.post('/namespaces/:ns/clients/:name', { config: { kind: 'clients', role: 'owner' } }, async (request) => {
    const { name } = request.params as { readonly name: string }
    if (!name.endsWith(eraseAction) || name === eraseAction) throw new Problem(404, `the one action of a client is ${eraseAction}`)
    return { erasedKeys: await request.at.erasure.erase(name.slice(0, -eraseAction.length), request.author) }
  })
}
