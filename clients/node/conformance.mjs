// Drives the client as clients/conformance asks: a JSON request a line on standard input, answers
// and events a line each on standard output. The library to use is the only argument.
import { createInterface } from 'node:readline';
import { Absent, Bury, Holdfast, NoStore, Snooze } from './dist/index.js';

const library = process.argv[2] ?? 'ioredis';
const running = new Map();
let hf;
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const hex = (b) => (b == null ? null : Buffer.from(b).toString('hex'));

async function connect({ addr, protocol, cluster }) {
  const [host, port] = [addr.slice(0, addr.lastIndexOf(':')), Number(addr.slice(addr.lastIndexOf(':') + 1))];
  if (library === 'ioredis') {
    const { Redis, Cluster } = await import('ioredis');
    const c = cluster ? new Cluster([{ host, port }], { redisOptions: { protocol } }) : new Redis({ host, port, protocol });
    c.on('error', () => {});
    return c;
  }
  const { createClient, createCluster } = await import('redis');
  const c = cluster ? createCluster({ rootNodes: [{ socket: { host, port } }], defaults: { RESP: protocol } })
    : createClient({ socket: { host, port }, RESP: protocol });
  c.on('error', () => {});
  await c.connect();
  return c;
}

async function outcome(o, signal) {
  const [what, arg] = (o ?? 'ok').split(/:(.*)/s);
  switch (what) {
    case 'ok': return;
    case 'snooze': throw new Snooze(Number(arg));
    case 'bury': throw new Bury(arg);
    case 'error': throw new Error(arg);
    case 'hang': await new Promise((r) => (signal.aborted ? r() : signal.addEventListener('abort', r))); say({ event: 'lost' }); return;
  }
}

const ops = {
  open: async (a) => { hf = new Holdfast(await connect(a)); return { protocols: [2, 3], cancel: true, kinds: library }; },
  lock: (a, id, state) => hf.withLock(a.name, { ttl: a.ttl, wait: a.wait, limit: a.limit, shared: a.shared, meta: a.meta, signal: state.abort.signal }, async (lease) => {
    say({ event: 'held', id, token: lease.token });
    await Promise.race([state.let, sleep(a.hold ?? 1e6), new Promise((r) => lease.signal.addEventListener('abort', r))]);
    say({ event: lease.signal.aborted ? 'lost' : 'leaving', id });
    return { token: lease.token };
  }),
  fetch: async (a, id, state) => ({ value: hex(await hf.fetch(a.key, { ttl: a.ttl, lease: a.lease, wait: a.wait, refresh: a.refresh }, async () => {
    say({ event: 'loading', id });
    await Promise.race([state.let, sleep(a.load.delay ?? 0)]);
    if (a.load.error) throw new Error(a.load.error);
    if (a.load.absent) throw new Absent(a.load.absent);
    if (a.load.nostore) throw new NoStore(Buffer.from(a.load.value, 'hex'));
    return Buffer.from(a.load.value, 'hex');
  })) }),
  del: async (a) => ({ n: await hf.delete(...a.keys) }),
  publish: async (a) => ({ id: await hf.publish(a.queue, Buffer.from(a.payload, 'hex'), { delay: a.delay, unique: a.unique, uniqueTtl: a.uniqueTtl, limit: a.limit, headers: a.headers }) }),
  work: async (a, id, state) => {
    const w = hf.worker(a.queue, { group: a.group, lease: a.lease, concurrency: a.concurrency, maxRetries: a.maxRetries, backoff: a.backoff, maxBackoff: a.maxBackoff, onError: (e) => process.stderr.write(e.message + '\n') }, async (t) => {
      say({ event: 'task', id, task: t.id, payload: hex(t.payload), tries: t.tries, error: t.error, headers: Object.fromEntries(Object.entries(t.headers).map(([k, v]) => [k, String(v)])) });
      await sleep(a.takes ?? 0);
      await outcome((a.script?.[String(t.payload)] ?? [])[t.tries], t.signal);
      say({ event: 'done', id, task: t.id, payload: hex(t.payload) });
    });
    state.stop = () => w.stop();
    await w.run();
    return {};
  },
  let: async (a) => { running.get(a.target)?.go(); return {}; },
  stop: async (a) => { running.get(a.target)?.stop(); return {}; },
  cancel: async (a) => { running.get(a.target)?.abort.abort(); return {}; },
  close: async () => { hf.close(); return {}; },
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, op, args } = JSON.parse(line);
  const state = { abort: new AbortController(), stop: () => {} };
  state.let = new Promise((r) => { state.go = r; });
  running.set(id, state);
  try {
    say({ id, ok: await ops[op](args ?? {}, id, state) });
  } catch (e) {
    say({ id, error: e.name === 'Error' ? e.constructor.name : e.name, text: e.message });
  }
  running.delete(id);
}).on('close', () => process.exit(0));
