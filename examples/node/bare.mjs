// Without our package: a lock and a worker that lose nothing when a reply is lost, in ioredis. Prints:
//   written by one
//   task hello
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const url = process.env.REDIS_URL;
// Commands that do not wait. ioredis sends them again by itself when a reply is lost, so each has to
// be one that may be sent twice.
const side = new Redis(url);
// A connection of its own for each wait. Nothing is sent again by itself. socketTimeout is longer
// than the waits of five seconds, and ends the connection.
const waiting = () => new Redis(url, { maxRetriesPerRequest: 0, socketTimeout: 7000 });

async function withLock(name, ttl, work) {
  const waiter = waiting(), owner = randomUUID(); // an owner for each acquire
  let token = 0;
  try {
    // AGAIN: whoever was granted the lock in a reply that was lost is told so now.
    for (const end = Date.now() + 60_000; !token && Date.now() < end;) {
      token = await waiter.call('LOCK.ACQUIRE', name, owner, ttl, 'BLOCK', 5000, 'WITHTOKEN', 'AGAIN').catch(() => sleep(50));
    }
    if (!token) throw new Error(`${name} is not to be had`);
    const lease = new AbortController();
    const renewal = setInterval(() => side.call('LOCK.EXTEND', name, owner, ttl).then((held) => held || lease.abort(), () => {}), ttl / 3);
    try {
      return await work(token, lease.signal);
    } finally {
      clearInterval(renewal);
    }
  } finally {
    waiter.disconnect();
    await side.call('LOCK.RELEASE', name, owner); // withdraws a wait, too
  }
}

async function work(queue, handle, stop) {
  const waiter = waiting(), me = randomUUID();
  for (let resume = []; !stop.aborted;) {
    let reply;
    try {
      // callBuffer: payloads are bytes. LEASE: tasks of a worker that died are taken over.
      reply = await waiter.callBuffer('TASK.CONSUME', 'workers', me, queue, 1, 5000, 'LEASE', 30000, ...resume);
      resume = [];
    } catch {
      resume = ['RESUME']; // what a lost reply brought is ours
      await sleep(50);
    }
    for (const [, tasks] of reply ?? []) {
      for (const [id, fields] of tasks) {
        await handle(fields[fields.findIndex((f) => String(f) === 'payload') + 1]);
        await side.call('TASK.ACK', queue, 'workers', id, 'CONSUMER', me);
      }
    }
  }
  waiter.disconnect();
}

await withLock('report', 30_000, async (token) => console.log(token > 0 && 'written by one'));
await side.call('TASK.PUBLISH', 'greetings', 'hello', 'UNIQUE', 'hello-1', 60_000);
const stop = new AbortController();
await work('greetings', (payload) => { console.log('task', String(payload)); stop.abort(); }, stop.signal);
side.disconnect();
