// A nightly report that one process writes at a time. Prints:
//   written with a token
//   busy
import { Redis } from 'ioredis';
import { Holdfast, NotHeld } from 'holdfast';

const redis = new Redis(process.env.REDIS_URL);
const hf = new Holdfast(redis);

await hf.withLock('report', { ttl: 30_000, wait: 10_000 }, async (lease) => {
  // lease.signal is aborted should the lock be lost: hand it to fetch, to a query …
  // lease.token grows with every holder: have what you write to refuse smaller ones.
  if (lease.token > 0) console.log('written with a token');

  try {
    await hf.withLock('report', { wait: 0 }, async () => {});
  } catch (e) {
    if (!(e instanceof NotHeld)) throw e;
    console.log('busy');
  }
});
hf.close();
redis.disconnect();
