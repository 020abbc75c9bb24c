// Prints how many ms one task waits that is published behind n others, of a millisecond of work
// each, in one queue of BullMQ.
//
//     node quiet.mjs PORT WORKERS N PAYLOAD
import { setTimeout as sleep } from "node:timers/promises"
import { Queue, Worker } from "bullmq"
import { Redis } from "ioredis"

const [port, concurrency, n] = process.argv.slice(2, 5).map(Number)
const task = { name: "noisy", data: process.argv[5], opts: { removeOnComplete: true } }
const connection = new Redis(port, "127.0.0.1", { maxRetriesPerRequest: null })
const queue = new Queue("tasks", { connection })
for (let left = n; left > 0; left -= 1000) {
  await queue.addBulk(Array(Math.min(left, 1000)).fill(task))
}

let tell
const begun = new Promise((resolve) => (tell = resolve))
const work = async (job) => {
  if (job.name === "quiet") tell(performance.now())
  await sleep(1)
}
const worker = new Worker("tasks", work, { connection, concurrency })
await worker.waitUntilReady()
await sleep(50)
const published = performance.now()
await queue.add("quiet", "")
console.log((await begun) - published)
await worker.close()
connection.disconnect()
