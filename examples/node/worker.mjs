// A worker with retries. Prints:
//   try 1 of ann
//   try 2 of ann
//   done ann
import { Redis } from 'ioredis';
import { Bury, Holdfast } from 'holdfast';

const redis = new Redis(process.env.REDIS_URL);
const hf = new Holdfast(redis);

const worker = hf.worker('mail', { concurrency: 4, lease: 30_000, maxRetries: 5, backoff: 10 }, async (task) => {
  const { to } = JSON.parse(task.payload);
  if (!to) throw new Bury('no address'); // no further try can help
  console.log(`try ${task.tries + 1} of ${to}`);
  if (task.tries === 0) throw new Error('smtp is away');
  // task.id is the same in every try: check by it what was done already.
  console.log(`done ${to}`);
  worker.stop();
});
const running = worker.run();
process.once('SIGTERM', () => worker.stop()); // finishes what it has

await hf.publish('mail', JSON.stringify({ to: 'ann' }), { unique: 'welcome-ann' });
await running;
hf.close();
redis.disconnect();
