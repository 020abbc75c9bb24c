"""The client for asyncio: the same operations, awaited. Cancelling a task ends its wait in the server."""

import asyncio
import contextlib
import logging
import socket
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, Optional

import redis
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry

from . import _core
from ._core import Lost, NotHeld, Policy, Task
from ._redis import duplicate, parse

__all__ = ["Holdfast", "Lease", "Worker"]

log = logging.getLogger("holdfast")
clock = time.monotonic


class Lease:
    """A lock that is held. token is its fencing token: give it to what the lock guards."""

    def __init__(self, name: str, owner: str, token: int):
        self.name, self.owner, self.token, self.lost = name, owner, token, False

    def check(self) -> None:
        """Raises Lost when the lock is not held any more: call it before each step that matters."""
        if self.lost:
            raise Lost(self.name)


class Holdfast:
    """client is a redis.asyncio.Redis, a RedisCluster that is initialised, or a function that makes one from keyword arguments."""

    def __init__(self, client: Any):
        self._client = client
        self._waiter = duplicate(client, RedisCluster, Retry, _core.SLICE + _core.MARGIN)
        self._side = duplicate(client, RedisCluster, Retry, _core.REPLY)
        self._flights: Dict[str, "asyncio.Future[Optional[bytes]]"] = {}

    async def close(self) -> None:
        await shut(self._waiter)
        await shut(self._side)

    async def _drive(self, op: Any, waiter: Any = None) -> Any:
        value: Any = None
        error: Optional[BaseException] = None
        while True:
            try:
                todo = op.throw(error) if error else op.send(value)
            except StopIteration as done:
                return done.value
            value, error = None, None
            try:
                if isinstance(todo, _core.Pause):
                    await asyncio.sleep(todo.seconds)
                elif isinstance(todo, _core.Work):
                    value = await self._work(todo)
                else:
                    value = await self._call(todo, waiter)
            except BaseException as e:
                error = e

    async def _call(self, call: _core.Call, waiter: Any) -> Any:
        via = (waiter or self._waiter) if call.wait else self._side
        try:
            return await via.execute_command(*call.args)
        except (redis.ConnectionError, redis.TimeoutError, OSError, asyncio.TimeoutError) as e:
            raise _core.Broken(str(e)) from e
        except redis.ResponseError as e:
            raise parse(e) from e

    async def _work(self, w: _core.Work) -> Any:
        work = asyncio.ensure_future(w.run())

        def lost() -> None:
            w.lost()
            if w.stop:
                work.cancel()

        try:
            async with self._renewed(w.renew, w.key, w.lease, lost):
                return await work
        finally:
            work.cancel()

    @contextlib.asynccontextmanager
    async def _renewed(self, args: List[Any], key: str, ttl: float, lost: Callable[[], None]) -> AsyncIterator[None]:
        """Keeps a lease while the block runs, and calls lost when it could not. Without args
        there is none to keep."""

        async def renew() -> None:
            if args and not await self._drive(_core.renew(args, key, ttl, clock, lambda: False)):
                lost()

        task = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            await put_down(task)

    # ---- locks

    @contextlib.asynccontextmanager
    async def lock(self, name: str, *, ttl: float = 30.0, wait: float = 10.0, limit: int = 1, shared: bool = False, meta: str = "") -> AsyncIterator[Lease]:
        """Holds a lock, and renews it, while the block runs; raises NotHeld when it was not to be
        had within wait seconds. The block is cancelled, and Lost raised, when the lease is lost."""
        owner = _core.new_owner()
        try:
            token = await self._drive(_core.acquire(name, owner, ttl, wait, clock, limit, shared, meta))
        except BaseException:
            await asyncio.shield(self._drive(_core.release(name, owner, ttl, clock)))
            raise
        if token is None:
            raise NotHeld(name)
        lease, block = Lease(name, owner, token), asyncio.current_task()

        def lost() -> None:
            lease.lost = True
            if block is not None:
                block.cancel()

        try:
            async with self._renewed(["LOCK.EXTEND", name, owner, _core.ms(ttl)], name, ttl, lost):
                yield lease
        except asyncio.CancelledError:
            lease.check()
            raise
        finally:
            await asyncio.shield(self._drive(_core.release(name, owner, ttl, clock)))
        lease.check()

    # ---- the cache

    async def fetch(self, key: str, load: Callable[[], Awaitable[bytes]], *, ttl: float, lease: float = 5.0, budget: float = 60.0, wait: float = 60.0, refresh: float = 0.0) -> Optional[bytes]:
        """Returns the cached value, or None for what is known to be absent. When there is no value, one
        caller of all processes calls load, and the others wait for what it stores. A caller that is
        cancelled leaves; the load goes on for the others."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(self._drive(_core.fetch(key, load, ttl, lease, budget, wait, refresh, clock)))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def delete(self, *keys: str) -> int:
        """Removes values and returns how many there were. Ends loads that are under way: they may have
        read what was before."""
        return sum([await self._drive(_core.once(["CACHE.DEL", k], k)) for k in keys])

    # ---- tasks

    async def publish(self, queue: str, payload: bytes, *, delay: float = 0.0, unique: str = "", unique_ttl: float = 60.0, limit: int = 0, headers: Optional[Dict[str, bytes]] = None) -> str:
        """Adds a task and returns its id. A unique id is added once in unique_ttl seconds, and is
        published again after a lost reply. Without one a lost reply raises."""
        return await self._drive(_core.publish(queue, payload, delay, unique, unique_ttl, limit, headers))

    def worker(self, queue: str, handler: Callable[[Task], Awaitable[Any]], *, concurrency: int = 4, **policy: Any) -> "Worker":
        """A worker for a queue; see Policy for group, lease, max_retries, backoff, max_backoff and dead."""
        return Worker(self, Policy(queue, **policy), handler, concurrency)


async def put_down(task: "asyncio.Future[Any]") -> None:
    """Cancels a task and waits for its end. redis-py 4 can swallow a cancellation while it checks
    whether a pooled connection is alive, so one may not be enough."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


async def shut(client: Any) -> None:
    await (client.aclose() if hasattr(client, "aclose") else client.close())


class Worker:
    """Takes tasks and runs a coroutine for each. One that returns has done its task; what it raises
    gives the task back (Snooze: later, Bury: to the dead letters, else with a pause that doubles).
    The task's lease is renewed, and the coroutine is cancelled when it is lost."""

    def __init__(self, hf: Holdfast, policy: Policy, handler: Callable[[Task], Awaitable[Any]], concurrency: int):
        self._hf, self._p, self._handler, self._n = hf, policy, handler, concurrency
        self._waiter = duplicate(hf._client, RedisCluster, Retry, _core.SLICE + _core.MARGIN)
        self._hand: Dict[str, "asyncio.Task[None]"] = {}
        self._taking: Optional["asyncio.Task[Any]"] = None
        self._stopped = False
        self.consumer = "%s-%s" % (socket.gethostname(), _core.new_owner()[:12])

    def stop(self) -> None:
        """Ends run: tasks in hand are finished, no further ones are taken."""
        self._stopped = True
        if self._taking is not None:
            asyncio.ensure_future(put_down(self._taking))

    async def run(self) -> None:
        """Works until stop is called, through restarts and failovers of the server."""
        resume, attempt = False, 0
        while not self._stopped:
            if len(self._hand) >= self._n:
                await asyncio.wait(self._hand.values(), return_when=asyncio.FIRST_COMPLETED)
                continue
            op = _core.consume(self._p, self.consumer, self._n - len(self._hand), resume)
            self._taking = asyncio.ensure_future(self._hf._drive(op, self._waiter))
            try:
                got = await self._taking
                resume, attempt = False, 0
            except asyncio.CancelledError:
                if self._stopped:
                    break
                self._taking.cancel()
                raise
            except (_core.Broken, _core.Refused) as e:
                resume, attempt, got = True, attempt + 1, []
                log.warning("holdfast: cannot take tasks of %s: %s", self._p.stream, e)
                await asyncio.sleep(min(2.0, 0.05 * 2 ** min(attempt, 6)))
            for t in got:
                if t.entry not in self._hand:
                    work = self._hand[t.entry] = asyncio.ensure_future(self._one(t))
                    work.add_done_callback(lambda _, entry=t.entry: self._hand.pop(entry, None))
        if self._hand:
            await asyncio.wait(list(self._hand.values()))
        with contextlib.suppress(_core.Broken, _core.Refused):
            await self._hf._drive(_core.once(["TASK.FORGET", self._p.stream, self._p.group, self.consumer], self._p.stream))
        await shut(self._waiter)

    async def _one(self, t: Task) -> None:
        try:
            await self._hf._drive(_core.handle(self._p, t, lambda: self._handler(t), lambda: None, clock))
        except _core.Refused as e:
            log.error("holdfast: task %s of %s: %s", t.id, self._p.stream, e)
