// Without our package: what each wait needs, in ioredis. Prints:
//   1
//   holder me
//   task hello
import { Redis } from 'ioredis';

const url = process.env.REDIS_URL;
const side = new Redis(url); // all that does not wait
// A connection of its own for each wait. Nothing is sent again by itself: a command that was sent
// twice could take a lock twice. socketTimeout is longer than the waits, and ends the connection.
const waiter = new Redis(url, { maxRetriesPerRequest: 0, socketTimeout: 7000 });

console.log(await waiter.call('LOCK.ACQUIRE', 'job', 'me', 30000, 'BLOCK', 5000));
const info = await side.call('LOCK.INFO', 'job'); // a map in RESP3, a flat list in RESP2
const holders = Array.isArray(info) ? info[info.indexOf('holders') + 1] : info.holders;
const owner = Array.isArray(holders[0]) ? holders[0][holders[0].indexOf('owner') + 1] : holders[0].owner;
console.log('holder', owner);
await side.call('LOCK.RELEASE', 'job', 'me');

await side.call('TASK.PUBLISH', 'greetings', 'hello');
// LEASE: a task whose reply is lost is handed out again. callBuffer: payloads are bytes.
const reply = await waiter.callBuffer('TASK.CONSUME', 'workers', 'me', 'greetings', 1, 5000, 'LEASE', 30000);
const [[, [[id, fields]]]] = reply;
console.log('task', String(fields[1]));
await side.call('TASK.ACK', 'greetings', 'workers', id, 'CONSUMER', 'me'); // 0: it is another's by now
side.disconnect();
waiter.disconnect();
