// A webhook in short: agrees to be sent events, takes one or a batch of them, prints them. PORT (9000) says where it listens.
import { createServer } from 'node:http'

const server = createServer(async (request, response) => {
  if (request.method === 'OPTIONS') {
    // Whose events we want; a real one knows the name.
    response.writeHead(200, { allow: 'POST', 'webhook-allowed-origin': request.headers['webhook-request-origin'] ?? '*', 'webhook-allowed-rate': '*' }).end()
    return
  }
  let body = ''
  for await (const part of request) body += part
  for (const event of [JSON.parse(body)].flat()) console.log(event.type, event.subject ?? '', JSON.stringify(event.data ?? event.data_base64))
  response.writeHead(204).end()
})
server.listen(Number(process.env.PORT ?? 9000), '127.0.0.1', () => console.log(`listening on ${server.address().port}`))
