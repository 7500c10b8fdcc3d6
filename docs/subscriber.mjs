// npm install zeromq; node subscriber.mjs [ENDPOINT]: every result once and in order, asked for again if it never came.
import { Dealer, Subscriber } from "zeromq"

const endpoint = process.argv[2] ?? "tcp://127.0.0.1:5560"
const topics = ["v1/detection/", "v1/segment/", "v1/gap/", "v1/status/"]
// One who only listens never learns that the daemon gave it up while a cable was out, unless TCP asks.
const alive = { tcpKeepalive: 1, tcpKeepaliveIdle: 3, tcpKeepaliveInterval: 1, tcpKeepaliveCount: 2 }
const sub = new Subscriber(alive), dealer = new Dealer({ linger: 0, receiveTimeout: 6000 })
const given = new Set() // events by what makes them the same
let run = "", place = "", counts = null, calls = 0, beat = 0 // counts: topic -> last seq, from the first hello on

async function call(method, params) {
  await dealer.send(JSON.stringify({ id: ++calls, method, params }))
  for (;;) {
    const answer = JSON.parse((await dealer.receive()).at(-1))
    if (answer.id === calls && answer.error) throw new Error(answer.error.text)
    if (answer.id === calls) return answer.ok
  }
}

function give(message, text = JSON.stringify(message)) { // once: after a restart of the daemon an event may come again
  const { kind, stream, bundle, counting, body: { label, reason, start, end } } = message
  const name = JSON.stringify([kind, stream, bundle, counting, start, label ?? [reason, end]])
  if (given.has(name)) return
  if (counting && start !== undefined) given.add(name)
  if (given.size > 10000) given.delete(given.values().next().value)
  console.log(text)
}

async function count(topic, seq, before) { // seq was sent, and `before` is the last that we should have had by then
  const had = counts.get(topic) ?? 0, asked = { run, topics: [topic], after: { [topic]: had }, to: { [topic]: before } }
  counts.set(topic, seq)
  for (let from = before > had ? 0 : null; from !== null;) {
    const page = await call("replay", { ...asked, from })
    for (const message of page.messages) give(message)
    for (const [first, last] of Object.values(page.gone).flat()) console.log(JSON.stringify({ lost: topic, first, last }))
    from = page.next
  }
}

sub.connect(endpoint)
sub.subscribe(...topics, "v1/hello/", "v1/heartbeat/", "v1/bye/")
for await (const [topic, json] of sub) {
  const message = JSON.parse(json), told = message.body.topics // which hello, heartbeat and bye have
  if (message.run !== run) [run, counts] = [message.run, counts && new Map()]
  if (message.kind === "hello" && message.body.control !== place) dealer.connect(place = message.body.control)
  if (message.kind === "hello") counts ??= new Map(Object.entries(told))
  for (const each of Object.keys(counts && told || {}))
    if (topics.some((prefix) => each.startsWith(prefix))) await count(each, told[each], told[each])
  if (counts && !told) await count(topic.toString(), message.seq, message.seq - 1)
  if (!told) give(message, json.toString())
  if (message.kind === "heartbeat" && beat && message.seq > beat + 1) { sub.unsubscribe("v1/hello/"); sub.subscribe("v1/hello/") }
  if (told) beat = message.kind === "heartbeat" ? message.seq : told["v1/heartbeat/_/_/"] ?? 0
  if (message.kind === "bye") break
}
