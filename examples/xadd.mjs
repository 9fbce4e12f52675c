// Node without any package: writes events by XADD. Try it: REDIS_URL=redis://127.0.0.1:6379/0 node examples/xadd.mjs
// With the package `redis` a line is: await client.xAdd('dialer:events', '*', {type, data: JSON.stringify(data)})

import { once } from 'node:events'
import { connect } from 'node:net'

const url = new URL(process.env.REDIS_URL) // redis:// or unix://
const socket = url.protocol === 'unix:' ? connect(url.pathname) : connect(Number(url.port || 6379), url.hostname)
socket.setEncoding('utf8')

/** Sends one command and returns the first line of its reply; an error of Redis is thrown. */
async function command(...words) {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
  socket.write(`*${words.length}\r\n${parts.join('')}`)
  const [reply] = await once(socket, 'data')
  if (reply.startsWith('-')) throw new Error(reply.trim())
  return reply.split('\r\n').at(reply.startsWith('$') ? 1 : 0)
}

/** An event of the dialer; returns the id of its entry. */
const event = (type, data) => command('XADD', 'dialer:events', '*', 'type', type, 'data', JSON.stringify(data))

if (url.password) await command('AUTH', url.username || 'default', decodeURIComponent(url.password))
console.log(await event('call_answered', { campaign_id: 1, contact_id: 123, call_id: 'abc123', agent_id: '1001' }))
console.log(await event('call_completed', { campaign_id: 1, contact_id: 123, call_id: 'abc123', duration: 42 }))
socket.end()
