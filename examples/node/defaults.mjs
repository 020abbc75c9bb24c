// What ioredis does by default when a reply is lost: it sends the command again. And which word in
// the command makes that harmless. LOSSY_URL is the same server, but the first reply about each key
// is lost and the connection breaks. Prints:
//   LOCK.ACQUIRE: 0, and me holds it
//   LOCK.ACQUIRE AGAIN: 1, and me holds it
//   TASK.PUBLISH: 2 in the queue
//   TASK.PUBLISH UNIQUE: 1 in the queue
//   TASK.CONSUME: nothing, and 1 handed out
//   TASK.CONSUME RESUME: hello, and 1 handed out
//   TASK.ACK: 0, and 0 in the queue
//   CACHE.FETCH: WAIT
import { Redis } from 'ioredis';

const redis = new Redis(process.env.LOSSY_URL); // with the default options
const sure = new Redis(process.env.REDIS_URL, { protocol: 2 });
const holder = async (name) => (await sure.call('LOCK.INFO', name)).flat(2).find((_, i, all) => all[i - 1] === 'owner');
const handedOut = async (queue) => (await sure.xpending(queue, 'workers'))[0];
const payload = (reply) => (reply ? reply[0][1][0][1][1] : 'nothing');

console.log('LOCK.ACQUIRE:', `${await redis.call('LOCK.ACQUIRE', 'lock1', 'me', 30000)}, and ${await holder('lock1')} holds it`);
console.log('LOCK.ACQUIRE AGAIN:', `${await redis.call('LOCK.ACQUIRE', 'lock2', 'me', 30000, 'AGAIN')}, and ${await holder('lock2')} holds it`);

await redis.call('TASK.PUBLISH', 'mail1', 'hello');
console.log('TASK.PUBLISH:', await sure.xlen('mail1'), 'in the queue');
await redis.call('TASK.PUBLISH', 'mail2', 'hello', 'UNIQUE', 'welcome-ann', 60000);
console.log('TASK.PUBLISH UNIQUE:', await sure.xlen('mail2'), 'in the queue');

for (const queue of ['mail3', 'mail4', 'mail5']) await sure.call('TASK.PUBLISH', queue, 'hello');
let reply = await redis.call('TASK.CONSUME', 'workers', 'me', 'mail3', 1, 'LEASE', 30000);
console.log('TASK.CONSUME:', `${payload(reply)}, and ${await handedOut('mail3')} handed out`);
reply = await redis.call('TASK.CONSUME', 'workers', 'me', 'mail4', 1, 'LEASE', 30000, 'RESUME');
console.log('TASK.CONSUME RESUME:', `${payload(reply)}, and ${await handedOut('mail4')} handed out`);

reply = await sure.call('TASK.CONSUME', 'workers', 'me', 'mail5', 1, 'LEASE', 30000);
const acked = await redis.call('TASK.ACK', 'mail5', 'workers', reply[0][1][0][0], 'CONSUMER', 'me');
console.log('TASK.ACK:', `${acked}, and ${await sure.xlen('mail5')} in the queue`);

console.log('CACHE.FETCH:', (await redis.call('CACHE.FETCH', 'user1', 5000, 5000))[0]); // it was told LOAD, and everybody waits
redis.disconnect();
sure.disconnect();
