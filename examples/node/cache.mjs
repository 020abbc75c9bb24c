// Of all who miss at once, one loads. Prints:
//   loads 1, values 3
//   missing null
import { createClient } from 'redis';
import { Absent, Holdfast } from 'holdfast';

const redis = await createClient({ url: process.env.REDIS_URL }).on('error', console.error).connect();
const hf = new Holdfast(redis);

let loads = 0;
const load = async () => { loads++; return JSON.stringify({ name: 'Ann' }); };
const values = await Promise.all([1, 2, 3].map(() => hf.fetch('user:7', { ttl: 60_000, refresh: 10_000 }, load)));
console.log(`loads ${loads}, values ${values.filter((v) => JSON.parse(v).name === 'Ann').length}`);

// An absence is remembered too.
console.log('missing', await hf.fetch('user:8', { ttl: 60_000 }, async () => { throw new Absent(5_000); }));
hf.close();
redis.destroy();
