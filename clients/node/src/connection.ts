/** Makes connections of our own from the settings of the client that the program has: ioredis or node-redis, a single server or a cluster. */
import calculateSlot from 'cluster-key-slot';

export type Arg = string | number | Uint8Array;
/** What a server answers: Buffers for text, numbers for integers. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Reply = any;

/** The connection broke, or the reply took too long. The server may have carried the command out or not. */
export class Broken extends Error {}
/** The server answered with an error. */
export class Refused extends Error {
  get word(): string { return this.message.split(/[ :]/, 1)[0] ?? ''; }
}

interface Raw { send(key: string, args: Array<string | Buffer>): Promise<Reply>; destroy(): void; }

/** One connection (in a cluster: one to each node). It closes with the first command that fails or takes too long,
 * because a late reply would be taken for the next command's. */
export class Connection {
  broken = false;
  private constructor(private readonly raw: Raw) {}

  static async open(client: unknown, timeoutMs: number): Promise<Connection> {
    return new Connection(await within(timeoutMs, duplicate(client)));
  }

  async call(key: string, args: Arg[], timeoutMs: number, signal?: AbortSignal): Promise<Reply> {
    const text = args.map((a) => (typeof a === 'number' ? String(a) : typeof a === 'string' ? a : Buffer.from(a)));
    try {
      return await within(timeoutMs, this.raw.send(key, text), signal);
    } catch (e) {
      if (isAnswer(e) && !/^(TRYAGAIN|CLUSTERDOWN|LOADING|READONLY|MASTERDOWN)\b/.test((e as Error).message)) throw new Refused((e as Error).message);
      this.destroy();
      throw new Broken(e instanceof Error ? e.message : String(e));
    }
  }

  destroy(): void {
    this.broken = true;
    this.raw.destroy();
  }
}

/** Reports whether an error is the server's reply: both libraries have a class for those. */
function isAnswer(e: unknown): boolean {
  for (let p = Object.getPrototypeOf(e ?? {}); p; p = Object.getPrototypeOf(p)) {
    if (['ReplyError', 'ErrorReply'].includes(p.constructor?.name)) return true;
  }
  return false;
}

async function within<T>(ms: number, work: Promise<T>, signal?: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined, abort: (() => void) | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
    abort = () => reject(new Error('called off'));
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
  });
  work.catch(() => {});
  end.catch(() => {});
  try {
    return await Promise.race([end, work]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort!);
  }
}

async function duplicate(client: any): Promise<Raw> {
  if (typeof client.callBuffer === 'function') return fromIoredis(client);
  if (typeof client.sendCommand === 'function' && typeof client.duplicate === 'function') return fromNodeRedis(client);
  throw new TypeError('holdfast: give an ioredis or node-redis client, or a cluster of either');
}

/** A copy that repeats no command and does not reconnect: Connections opens the next one. */
async function fromIoredis(client: any): Promise<Raw> {
  const own = { maxRetriesPerRequest: 0, retryStrategy: null, enableAutoPipelining: false, commandTimeout: undefined, socketTimeout: undefined };
  const cluster = client.isCluster === true;
  const copy = cluster
    ? client.duplicate([], { clusterRetryStrategy: null, enableAutoPipelining: false, redisOptions: { ...client.options.redisOptions, ...own } })
    : client.duplicate(own);
  copy.on('error', () => {});
  const Command = (await import('ioredis')).Command as any;
  return {
    // ioredis knows where the key is in its own commands only, so the slot is set here.
    send: (key, [name, ...args]) => {
      if (!cluster) return copy.callBuffer(name, ...args);
      const command = new Command(name, args, { replyEncoding: null });
      command.slot = calculateSlot(key);
      return copy.sendCommand(command);
    },
    destroy: () => copy.disconnect(),
  };
}

const BLOB_STRING = 36; // '$', RESP_TYPES.BLOB_STRING: as a Buffer

async function fromNodeRedis(client: any): Promise<Raw> {
  const options = { typeMapping: { [BLOB_STRING]: Buffer } };
  if (Array.isArray(client.masters)) {
    const copy = client.duplicate();
    copy.on('error', () => {});
    await copy.connect();
    return { send: (key, args) => copy.sendCommand(key, false, args, options), destroy: () => copy.destroy() };
  }
  const copy = client.duplicate({ socket: { ...client.options?.socket, reconnectStrategy: false, socketTimeout: undefined } });
  copy.on('error', () => {});
  await copy.connect();
  return { send: (_, args) => copy.sendCommand(args, options), destroy: () => copy.destroy() };
}

/** A connection for each waiter, kept for the next waiter, and one for all commands that do not wait. */
export class Connections {
  private readonly idle: Connection[] = [];
  private side?: Promise<Connection>;
  private closed = false;

  constructor(private readonly client: unknown) {}

  /** Sends a command that does not wait in the server. */
  async call(key: string, args: Arg[]): Promise<Reply> {
    if (this.closed) throw new Broken('closed');
    const mine = (this.side ??= Connection.open(this.client, REPLY));
    try {
      const connection = await mine;
      return await connection.call(key, args, REPLY);
    } catch (e) {
      if (!(e instanceof Refused) && this.side === mine) this.side = undefined;
      throw e instanceof Refused || e instanceof Broken || e instanceof TypeError ? e : new Broken(String(e));
    }
  }

  /** Sends a command that may wait for waitMs in the server, on a connection that nobody else uses meanwhile. */
  async wait(key: string, args: Arg[], waitMs: number, signal?: AbortSignal): Promise<Reply> {
    if (this.closed) throw new Broken('closed');
    let connection = this.idle.pop();
    try {
      connection ??= await Connection.open(this.client, REPLY);
      return await connection.call(key, args, waitMs + MARGIN, signal);
    } catch (e) {
      throw e instanceof Refused || e instanceof Broken || e instanceof TypeError ? e : new Broken(String(e));
    } finally {
      if (connection && !connection.broken) {
        if (this.closed || this.idle.length >= KEPT) connection.destroy();
        else this.idle.push(connection);
      }
    }
  }

  close(): void {
    this.closed = true;
    this.side?.then((c) => c.destroy(), () => {});
    for (const c of this.idle.splice(0)) c.destroy();
  }
}

/** In milliseconds: how long a command that does not wait may take, and how much longer than its wait another one. */
const REPLY = 2000, MARGIN = 2000, KEPT = 8;
