"""Drives the client as clients/conformance asks: a JSON request a line on standard input, answers and
events a line each on standard output. The only argument is threads or asyncio."""

import asyncio
import json
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import redis  # noqa: E402
import redis.asyncio  # noqa: E402
from redis.cluster import RedisCluster  # noqa: E402

import holdfast  # noqa: E402
from holdfast import aio  # noqa: E402

mu = threading.Lock()


def say(**o):
    with mu:
        sys.stdout.write(json.dumps(o) + "\n")
        sys.stdout.flush()


def seconds(ms, default):
    return default if ms is None else ms / 1000


def raise_for(what):
    kind, _, arg = (what or "ok").partition(":")
    if kind == "snooze":
        raise holdfast.Snooze(int(arg) / 1000)
    if kind == "bury":
        raise holdfast.Bury(arg)
    if kind == "error":
        raise RuntimeError(arg)
    return kind


def loaded(load):
    if load.get("error"):
        raise RuntimeError(load["error"])
    if load.get("absent"):
        raise holdfast.Absent(load["absent"] / 1000)
    value = bytes.fromhex(load["value"])
    if load.get("nostore"):
        raise holdfast.NoStore(value)
    return value


def lock_options(a):
    return dict(ttl=seconds(a.get("ttl"), 30), wait=seconds(a.get("wait"), 10), limit=a.get("limit") or 1, shared=bool(a.get("shared")), meta=a.get("meta") or "")


def fetch_options(a):
    return dict(ttl=a["ttl"] / 1000, lease=seconds(a.get("lease"), 5), wait=seconds(a.get("wait"), 60), refresh=seconds(a.get("refresh"), 0))


def publish_options(a):
    return dict(delay=seconds(a.get("delay"), 0), unique=a.get("unique") or "", unique_ttl=seconds(a.get("uniqueTtl"), 60), limit=a.get("limit") or 0, headers=a.get("headers"))


def policy(a):
    return dict(group=a.get("group") or "workers", lease=seconds(a.get("lease"), 30), concurrency=a.get("concurrency") or 4, max_retries=a.get("maxRetries", 10),
                backoff=seconds(a.get("backoff"), 1), max_backoff=seconds(a.get("maxBackoff"), 600))


def describe(id, t):
    say(event="task", id=id, task=t.id, payload=t.payload.hex(), tries=t.tries, error=t.error, headers={k: v.decode() for k, v in t.headers.items()})


def step(a, t):
    steps = a.get("script", {}).get(t.payload.decode("latin1"), [])
    return steps[t.tries] if t.tries < len(steps) else "ok"


def hexed(value):
    return None if value is None else value.hex()


class State:
    def __init__(self, event):
        self.go, self.stop, self.cancel = event, lambda: None, lambda: None


class Threads:
    def open(self, a, id, state):
        host, _, port = a["addr"].rpartition(":")
        client = RedisCluster(host=host, port=int(port)) if a.get("cluster") else redis.Redis(host=host, port=int(port), decode_responses=True)
        self.hf = holdfast.Holdfast(client)
        return dict(protocols=[2], cancel=False)

    def lock(self, a, id, state):
        with self.hf.lock(a["name"], **lock_options(a)) as lease:
            say(event="held", id=id, token=lease.token)
            for _ in range(int(a.get("hold") or 1e6) // 10 + 1):
                if lease.lost or state.go.wait(0.01):
                    break
            say(event="lost" if lease.lost else "leaving", id=id)
            return dict(token=lease.token)

    def fetch(self, a, id, state):
        def load():
            say(event="loading", id=id)
            state.go.wait((a["load"].get("delay") or 0) / 1000)
            return loaded(a["load"])
        return dict(value=hexed(self.hf.fetch(a["key"], load, **fetch_options(a))))

    def publish(self, a, id, state):
        return dict(id=self.hf.publish(a["queue"], bytes.fromhex(a["payload"]), **publish_options(a)))

    def delete(self, a, id, state):
        return dict(n=self.hf.delete(*a["keys"]))

    def work(self, a, id, state):
        def handle(t):
            describe(id, t)
            threading.Event().wait((a.get("takes") or 0) / 1000)
            if raise_for(step(a, t)) == "hang":
                while not w.lost(t):
                    threading.Event().wait(0.01)
                say(event="lost", id=id)
                return
            say(event="done", id=id, task=t.id, payload=t.payload.hex())
        w = self.hf.worker(a["queue"], handle, **policy(a))
        state.stop = w.stop
        w.run()
        return {}

    def close(self, a, id, state):
        self.hf.close()
        return {}


class Asyncio:
    async def open(self, a, id, state):
        host, _, port = a["addr"].rpartition(":")
        if a.get("cluster"):
            client = await redis.asyncio.RedisCluster(host=host, port=int(port)).initialize()
        else:
            client = redis.asyncio.Redis(host=host, port=int(port), decode_responses=True)
        self.hf = aio.Holdfast(client)
        return dict(protocols=[2], cancel=True)

    async def lock(self, a, id, state):
        async with self.hf.lock(a["name"], **lock_options(a)) as lease:
            say(event="held", id=id, token=lease.token)
            try:
                await asyncio.wait_for(state.go.wait(), (a.get("hold") or 1e6) / 1000)
            except asyncio.TimeoutError:
                pass
            except asyncio.CancelledError:
                say(event="lost" if lease.lost else "leaving", id=id)
                raise
            say(event="leaving", id=id)
            return dict(token=lease.token)

    async def fetch(self, a, id, state):
        async def load():
            say(event="loading", id=id)
            try:
                await asyncio.wait_for(state.go.wait(), (a["load"].get("delay") or 0) / 1000)
            except asyncio.TimeoutError:
                pass
            return loaded(a["load"])
        return dict(value=hexed(await self.hf.fetch(a["key"], load, **fetch_options(a))))

    async def publish(self, a, id, state):
        return dict(id=await self.hf.publish(a["queue"], bytes.fromhex(a["payload"]), **publish_options(a)))

    async def delete(self, a, id, state):
        return dict(n=await self.hf.delete(*a["keys"]))

    async def work(self, a, id, state):
        async def handle(t):
            describe(id, t)
            await asyncio.sleep((a.get("takes") or 0) / 1000)
            if raise_for(step(a, t)) == "hang":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    say(event="lost", id=id)
                    raise
            say(event="done", id=id, task=t.id, payload=t.payload.hex())
        w = self.hf.worker(a["queue"], handle, **policy(a))
        state.stop = w.stop
        await w.run()
        return {}

    async def close(self, a, id, state):
        await self.hf.close()
        return {}


def answer(id, e):
    say(id=id, error=type(e).__name__, text=str(e))


STEER = {"let": lambda s: s.go.set(), "stop": lambda s: s.stop(), "cancel": lambda s: s.cancel()}


def threads():
    driver, running = Threads(), {}

    def run(r, state):
        try:
            say(id=r["id"], ok=getattr(driver, {"del": "delete"}.get(r["op"], r["op"]))(r.get("args") or {}, r["id"], state))
        except BaseException as e:
            answer(r["id"], e)

    for line in sys.stdin:
        r = json.loads(line)
        if r["op"] in STEER:
            STEER[r["op"]](running[r["args"]["target"]])
            say(id=r["id"], ok={})
            continue
        state = running[r["id"]] = State(threading.Event())
        threading.Thread(target=run, args=(r, state), daemon=True).start()
    os._exit(0)


async def asyncio_main():
    driver, running, loop = Asyncio(), {}, asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def run(r, state):
        try:
            say(id=r["id"], ok=await getattr(driver, {"del": "delete"}.get(r["op"], r["op"]))(r.get("args") or {}, r["id"], state))
        except BaseException as e:
            answer(r["id"], e)

    while line := await reader.readline():
        r = json.loads(line)
        if r["op"] in STEER:
            STEER[r["op"]](running[r["args"]["target"]])
            say(id=r["id"], ok={})
            continue
        state = running[r["id"]] = State(asyncio.Event())
        state.cancel = asyncio.ensure_future(run(r, state)).cancel
    os._exit(0)


if sys.argv[1:] == ["asyncio"]:
    asyncio.run(asyncio_main())
else:
    threads()
