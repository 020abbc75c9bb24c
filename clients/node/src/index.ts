/**
 * Locks, a cache that cannot stampede and a task queue, on a Redis or Valkey server with the
 * Holdfast modules. Durations are in milliseconds; values and payloads are Buffers.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Arg, Broken, Connections, Refused, type Reply } from './connection.js';

export { Broken, Refused };

export class HoldfastError extends Error {
  override get name(): string { return this.constructor.name; }
}
/** The lock did not become free in time. */
export class NotHeld extends HoldfastError {}
/** The lease ended before the work did: another owner may hold the lock, or have the task. */
export class Lost extends HoldfastError {}
/** The wait is over, and another caller still loads the value. */
export class Busy extends HoldfastError {}
/** The caller that loaded the value failed; the text says why. */
export class LoadFailed extends HoldfastError {}
/** Thrown by a loader: there is no value. The cache remembers that for ttl milliseconds. */
export class Absent extends Error { constructor(readonly ttl = 10_000) { super('absent'); } }
/** Thrown by a loader: return this value and store nothing. */
export class NoStore extends Error { constructor(readonly value: string | Uint8Array) { super('not stored'); } }
/** Thrown by a handler: try again after delay milliseconds. It counts as no failure. */
export class Snooze extends Error { constructor(readonly delay: number) { super('snooze'); } }
/** Thrown by a handler: no further try can help. The task goes to the dead letters. */
export class Bury extends Error {}

export interface LockOptions { ttl?: number; wait?: number; limit?: number; shared?: boolean; meta?: string; signal?: AbortSignal }
/** token is the fencing token: give it to what the lock guards. signal is aborted when the lease is lost. */
export interface Lease { readonly name: string; readonly token: number; readonly signal: AbortSignal; check(): void }
export interface FetchOptions { ttl: number; lease?: number; budget?: number; wait?: number; refresh?: number }
export interface PublishOptions { delay?: number; unique?: string; uniqueTtl?: number; limit?: number; headers?: Record<string, string | Uint8Array> }
export interface WorkerOptions {
  group?: string; lease?: number; concurrency?: number; maxRetries?: number; backoff?: number; maxBackoff?: number; dead?: string;
  onError?: (e: unknown) => void;
}
/** A task handed to a worker. id stays the same through all its tries; signal is aborted when its lease is lost. */
export interface Task { id: string; entry: string; payload: Buffer; tries: number; published: number; headers: Record<string, Buffer>; error: string; signal: AbortSignal }

const SLICE = 5000; // longest wait of one command; longer ones are a loop of these

export class Holdfast {
  /** @internal */ readonly connections: Connections;
  private readonly flights = new Map<string, Promise<Buffer | null>>();

  /** client is an ioredis or node-redis client, or a cluster of either. Only its settings are used: Holdfast opens
   * connections of its own. */
  constructor(client: unknown) { this.connections = new Connections(client); }

  close(): void { this.connections.close(); }

  /** Holds a lock, and renews it, while f runs. Waits in the server's line for up to wait milliseconds (0: not at
   * all), then throws NotHeld. Throws Lost when the lease ended before f did. */
  async withLock<T>(name: string, o: LockOptions, f: (lease: Lease) => Promise<T>): Promise<T> {
    const { ttl = 30_000 } = o, owner = randomUUID();
    let token: number;
    try {
      token = await this.acquire(name, owner, ttl, o);
    } catch (e) {
      await this.release(name, owner, ttl);
      throw e;
    }
    if (!token) throw new NotHeld(name);
    const lost = new AbortController(), check = () => { if (lost.signal.aborted) throw new Lost(name); };
    const renewal = this.renew(name, ['LOCK.EXTEND', name, owner, ttl], ttl, () => lost.abort(new Lost(name)));
    try {
      const result = await f({ name, token, signal: lost.signal, check });
      check();
      return result;
    } finally {
      await renewal.stop();
      await this.release(name, owner, ttl);
    }
  }

  private async acquire(name: string, owner: string, ttl: number, o: LockOptions): Promise<number> {
    const end = performance.now() + (o.wait ?? 10_000);
    const args: Arg[] = ['LOCK.ACQUIRE', name, owner, ttl, ...(o.shared ? ['SHARED'] : o.limit && o.limit > 1 ? ['LIMIT', o.limit] : []), ...(o.meta ? ['META', o.meta] : [])];
    for (;;) {
      const left = Math.round(Math.min(end - performance.now(), SLICE));
      try {
        const token = left > 0
          ? await this.connections.wait(name, [...args, 'BLOCK', left, 'WITHTOKEN'], left, o.signal)
          : await this.connections.call(name, [...args, 'WITHTOKEN']);
        if (token || performance.now() >= end) return Number(token);
      } catch (e) {
        // The reply is lost: the lock may be held in our name.
        if (!(e instanceof Broken) || o.signal?.aborted || performance.now() >= end) throw e;
        await this.release(name, owner, ttl);
        await sleep(50);
      }
    }
  }

  /** Releases the lock, or withdraws the wait for it. Repeats until the server answers or the lease must have ended. */
  private async release(name: string, owner: string, ttl: number): Promise<void> {
    await this.persist(name, ['LOCK.RELEASE', name, owner], ttl);
  }

  /** @internal Sends a command that may be sent twice. Repeats until the server answers or forMs have passed. */
  async persist(key: string, args: Arg[], forMs: number): Promise<Reply> {
    for (const end = performance.now() + forMs; ; await sleep(50)) {
      try {
        return await this.connections.call(key, args);
      } catch (e) {
        if (!(e instanceof Broken)) throw e;
        if (performance.now() >= end) return null;
      }
    }
  }

  /** @internal Sends an extending command three times in each lease, until stop is called or the lease is lost: the
   * server answered 0, or did not answer for as long as the lease lasts. */
  renew(key: string, args: Arg[], ttl: number, lost: () => void): { stop(): Promise<void> } {
    const stopped = new AbortController();
    const loop = (async () => {
      for (let leased = performance.now(); ;) {
        await sleep(ttl / 3, undefined, { signal: stopped.signal }).catch(() => {});
        if (stopped.signal.aborted) return;
        const sent = performance.now();
        try {
          if (Number(await this.connections.call(key, args)) === 0) return stopped.signal.aborted ? undefined : lost();
          leased = sent;
        } catch { /* the next try may reach it */ }
        if (performance.now() >= leased + ttl) return lost();
      }
    })();
    return { stop: () => { stopped.abort(); return loop; } };
  }

  /** Returns the cached value, or null for what is known to be absent. When there is no value, one caller of all
   * processes calls load, and the others wait for what it stores. When the server cannot be reached, each process loads
   * for itself. */
  fetch(key: string, o: FetchOptions, load: () => Promise<string | Uint8Array>): Promise<Buffer | null> {
    let flight = this.flights.get(key);
    if (!flight) {
      flight = this.fetchOnce(key, o, async () => Buffer.from(await load() as Uint8Array)).finally(() => this.flights.delete(key));
      this.flights.set(key, flight);
    }
    return flight;
  }

  private async fetchOnce(key: string, o: FetchOptions, load: () => Promise<Buffer>): Promise<Buffer | null> {
    const { lease = 5000, budget = 60_000, wait = 60_000 } = o, end = performance.now() + wait;
    let token: number;
    for (;;) {
      const left = Math.max(1, Math.round(Math.min(end - performance.now(), SLICE)));
      let reply: Reply;
      try {
        reply = await this.connections.wait(key, ['CACHE.FETCH', key, lease, budget, 'BLOCK', left, ...(o.refresh ? ['REFRESH', o.refresh] : [])], left);
      } catch (e) {
        if (e instanceof Refused && e.word === 'LOADFAILED') throw new LoadFailed(e.message.slice('LOADFAILED '.length));
        if (!(e instanceof Broken)) throw e;
        return load().catch(orAbsent);
      }
      const status = String(reply[0]);
      if (status === 'HIT' || status === 'STALE') return reply[1];
      if (status === 'ABSENT') return null;
      if (status === 'LOAD') { token = Number(reply[2]); break; }
      if (performance.now() >= end) throw new Busy(key);
    }
    const renewal = this.renew(key, ['CACHE.EXTEND', key, token, lease], lease, () => {});
    let done: Arg[] = ['CACHE.UNLOCK', key, token];
    try {
      const value = await load();
      done = ['CACHE.SET', key, value, o.ttl, 'TOKEN', token];
      return value;
    } catch (e) {
      if (e instanceof Absent) done = ['CACHE.SETNIL', key, e.ttl, 'TOKEN', token];
      else if (!(e instanceof NoStore)) done = ['CACHE.FAIL', key, token, e instanceof Error ? e.name : 'Error', 'BACKOFF', 1000];
      return orAbsent(e);
    } finally {
      await renewal.stop();
      await this.connections.call(key, done).catch(() => {}); // the lease ends by itself
    }
  }

  /** Removes values and returns how many there were. Ends loads that are under way: they may have read what was before. */
  async delete(...keys: string[]): Promise<number> {
    const removed = await Promise.all(keys.map((k) => this.connections.call(k, ['CACHE.DEL', k])));
    return removed.reduce((a: number, b) => a + Number(b), 0);
  }

  /** Adds a task and returns its id. A unique task is added once in uniqueTtl milliseconds (a minute by default), and
   * is published again after a lost reply. Without unique a lost reply throws Broken: the task may be there or not. */
  async publish(queue: string, payload: string | Uint8Array, o: PublishOptions = {}): Promise<string> {
    const headers = Object.entries(o.headers ?? {});
    const args: Arg[] = ['TASK.PUBLISH', queue, payload,
      ...(o.delay ? ['DELAY', o.delay] : []), ...(o.unique ? ['UNIQUE', o.unique, o.uniqueTtl ?? 60_000] : []), ...(o.limit ? ['LIMIT', o.limit] : []),
      ...(headers.length ? ['HEADERS', headers.length, ...headers.flat()] : [])];
    for (let pause = 50; ; pause *= 2) {
      try {
        return String(await this.connections.call(queue, args));
      } catch (e) {
        if (!(e instanceof Broken) || !o.unique || pause > 1000) throw e;
        await sleep(pause);
      }
    }
  }

  worker(queue: string, o: WorkerOptions, handler: (task: Task) => Promise<unknown>): Worker {
    return new Worker(this, queue, o, handler);
  }
}

function orAbsent(e: unknown): Buffer | null {
  if (e instanceof Absent) return null;
  if (e instanceof NoStore) return Buffer.from(e.value as Uint8Array);
  throw e;
}

const OWN = new Set(['payload', 'timestamp', 'retry_count', 'task_id', 'error', 'history']);

/** Takes tasks and runs the handler for each. A handler that resolves has done its task. A handler that throws gives the
 * task back: Snooze for later, Bury to the dead letters, any other error for a next try after a pause that doubles. */
export class Worker {
  readonly consumer = `${hostname()}-${randomUUID().slice(0, 13)}`;
  private readonly stopped = new AbortController();
  private readonly hand = new Map<string, Promise<void>>();
  private readonly o: Required<WorkerOptions>;

  constructor(private readonly hf: Holdfast, private readonly queue: string, o: WorkerOptions, private readonly handler: (task: Task) => Promise<unknown>) {
    const tagged = queue.indexOf('}', queue.indexOf('{') + 2) > 0 && queue.includes('{');
    const { group = 'workers', lease = 30_000, concurrency = 10, maxRetries = 10, backoff = 1000, maxBackoff = 600_000 } = o;
    const { dead = tagged ? `${queue}::dead` : `{${queue}}:dead`, onError = (e: unknown) => console.error('holdfast:', e) } = o;
    this.o = { group, lease, concurrency, maxRetries, backoff, maxBackoff, dead, onError };
  }

  /** Ends run. The worker finishes the tasks that it has and takes no more. */
  stop(): void { this.stopped.abort(); }

  /** Works until stop is called, through restarts and failovers of the server. */
  async run(): Promise<void> {
    const { group, lease, concurrency, onError } = this.o, signal = this.stopped.signal, { connections } = this.hf;
    for (let resume = false, pause = 50; !signal.aborted;) {
      const room = concurrency - this.hand.size;
      if (room === 0) { await Promise.race(this.hand.values()); continue; }
      try {
        const args: Arg[] = ['TASK.CONSUME', group, this.consumer, this.queue, room, SLICE, 'LEASE', lease];
        const reply = await connections.wait(this.queue, resume ? [...args, 'RESUME'] : args, SLICE, signal);
        for (const [, entries] of reply ?? []) for (const [id, fields] of entries) this.begin(String(id), fields);
        resume = false; pause = 50;
      } catch (e) {
        if (signal.aborted) break;
        if (!(e instanceof Broken || e instanceof Refused)) throw e;
        onError(e);
        resume = true; // what the lost reply brought is still ours
        await sleep(pause, undefined, { signal }).catch(() => {});
        pause = Math.min(pause * 2, 2000);
      }
    }
    await Promise.all(this.hand.values());
    await connections.call(this.queue, ['TASK.FORGET', this.queue, group, this.consumer]).catch(() => {}); // else its lease ends
  }

  private begin(entry: string, flat: Buffer[]): void {
    if (this.hand.has(entry)) return;
    const f: Record<string, Buffer> = {}, headers: Record<string, Buffer> = {};
    for (let i = 0; i + 1 < flat.length; i += 2) f[String(flat[i])] = flat[i + 1]!;
    for (const [k, v] of Object.entries(f)) if (!OWN.has(k)) headers[k] = v;
    const work = this.one({
      id: String(f.task_id ?? entry), entry, payload: f.payload ?? Buffer.alloc(0), tries: Number(f.retry_count ?? 0),
      published: Number(f.timestamp ?? 0), headers, error: String(f.error ?? ''),
    }).catch(this.o.onError).finally(() => this.hand.delete(entry));
    this.hand.set(entry, work);
  }

  private async one(t: Omit<Task, 'signal'>): Promise<void> {
    const { group, lease, backoff, maxBackoff, maxRetries, dead } = this.o, lost = new AbortController();
    const renewal = this.hf.renew(this.queue, ['TASK.EXTEND', this.queue, group, this.consumer, t.entry], lease, () => lost.abort(new Lost(t.id)));
    let end: Arg[] = ['TASK.ACK', this.queue, group, t.entry, 'CONSUMER', this.consumer];
    try {
      await this.handler({ ...t, signal: lost.signal });
    } catch (e) {
      const reason = (e instanceof Error ? `${e.name}: ${e.message}` : String(e)).slice(0, 500);
      end = ['TASK.NACK', this.queue, group, this.consumer, t.entry, ...(e instanceof Snooze
        ? ['DELAY', e.delay, 'NOCOUNT']
        : ['BACKOFF', backoff, maxBackoff, 'MAXRETRIES', e instanceof Bury ? 0 : maxRetries, 'DEAD', dead, 'REASON', reason])];
    } finally {
      await renewal.stop();
    }
    if (!lost.signal.aborted) await this.hf.persist(this.queue, end, lease);
  }
}
