"""The client for threads."""

import contextlib
import logging
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterator, List, Optional

import redis
from redis.cluster import RedisCluster
from redis.retry import Retry

from . import _core
from ._core import Lost, NotHeld, Policy, Task
from ._redis import duplicate, parse

log = logging.getLogger("holdfast")
clock = time.monotonic


class Lease:
    """A lock that is held. token is its fencing token: give it to what the lock guards."""

    def __init__(self, name: str, owner: str, token: int):
        self.name, self.owner, self.token, self.lost = name, owner, token, False

    def _lose(self) -> None:
        self.lost = True

    def check(self) -> None:
        """Raises Lost when the lock is not held any more: call it before each step that matters."""
        if self.lost:
            raise Lost(self.name)


class Holdfast:
    """client is a redis.Redis, a RedisCluster, or a function that makes one from keyword arguments."""

    def __init__(self, client: Any):
        self._waiter = duplicate(client, RedisCluster, Retry, _core.SLICE + _core.MARGIN)
        self._side = duplicate(client, RedisCluster, Retry, _core.REPLY)
        self._client = client
        self._flights: Dict[str, "Future[Optional[bytes]]"] = {}
        self._mu = threading.Lock()

    def close(self) -> None:
        self._waiter.close()
        self._side.close()

    def _drive(self, op: Any, waiter: Any = None, sleep: Callable[[float], Any] = time.sleep) -> Any:
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
                    sleep(todo.seconds)
                elif isinstance(todo, _core.Work):
                    with self._renewed(todo.renew, todo.key, todo.lease, todo.lost):
                        value = todo.run()
                else:
                    value = self._call(todo, waiter)
            except BaseException as e:
                error = e

    def _call(self, call: _core.Call, waiter: Any) -> Any:
        via = (waiter or self._waiter) if call.wait else self._side
        try:
            return via.execute_command(*call.args)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as e:
            raise _core.Broken(str(e)) from e
        except redis.ResponseError as e:
            raise parse(e) from e

    @contextlib.contextmanager
    def _renewed(self, args: List[Any], key: str, ttl: float, lost: Callable[[], None]) -> Iterator[None]:
        """Keeps a lease while the block runs, and calls lost when it could not. Without args
        there is none to keep."""
        done = threading.Event()

        def renew() -> None:
            if not self._drive(_core.renew(args, key, ttl, clock, done.is_set), sleep=done.wait):
                lost()

        thread = threading.Thread(target=renew, name="holdfast-renew", daemon=True)
        if args:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if args:
                thread.join()

    # ---- locks

    @contextlib.contextmanager
    def lock(self, name: str, *, ttl: float = 30.0, wait: float = 10.0, limit: int = 1, shared: bool = False, meta: str = "") -> Iterator[Lease]:
        """Holds a lock, and renews it, while the block runs. Waits in the server's line for
        up to wait seconds (0: not at all) and raises NotHeld after it. With limit it is a
        semaphore of so many places."""
        owner = _core.new_owner()
        try:
            token = self._drive(_core.acquire(name, owner, ttl, wait, clock, limit, shared, meta))
        except BaseException:
            self._drive(_core.release(name, owner, ttl, clock))
            raise
        if token is None:
            raise NotHeld(name)
        lease = Lease(name, owner, token)
        try:
            with self._renewed(["LOCK.EXTEND", name, owner, _core.ms(ttl)], name, ttl, lease._lose):
                yield lease
        finally:
            self._drive(_core.release(name, owner, ttl, clock))
        lease.check()

    # ---- the cache

    def fetch(self, key: str, load: Callable[[], bytes], *, ttl: float, lease: float = 5.0, budget: float = 60.0, wait: float = 60.0, refresh: float = 0.0) -> Optional[bytes]:
        """Returns the cached value, or None for what is known to be absent. When there is no value, one
        caller of all processes calls load, and the others wait for what it stores. When the server
        cannot be reached, each process loads for itself."""
        with self._mu:
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if not mine:
            return flight.result()
        try:
            flight.set_result(self._drive(_core.fetch(key, load, ttl, lease, budget, wait, refresh, clock)))
        except BaseException as e:
            flight.set_exception(e)
        finally:
            with self._mu:
                del self._flights[key]
        return flight.result()

    def delete(self, *keys: str) -> int:
        """Removes values and returns how many there were. Ends loads that are under way: they may have
        read what was before."""
        return sum(self._drive(_core.once(["CACHE.DEL", k], k)) for k in keys)

    # ---- tasks

    def publish(self, queue: str, payload: bytes, *, delay: float = 0.0, unique: str = "", unique_ttl: float = 60.0, limit: int = 0, headers: Optional[Dict[str, bytes]] = None) -> str:
        """Adds a task and returns its id. A unique id is added once in unique_ttl seconds, and is
        published again after a lost reply. Without one a lost reply raises."""
        return self._drive(_core.publish(queue, payload, delay, unique, unique_ttl, limit, headers))

    def worker(self, queue: str, handler: Callable[[Task], Any], *, concurrency: int = 4, **policy: Any) -> "Worker":
        """A worker for a queue; see Policy for group, lease, max_retries, backoff, max_backoff and dead."""
        return Worker(self, Policy(queue, **policy), handler, concurrency)


def hang_up(client: Any) -> None:
    """Ends the waits on a client's connections, from another thread. It only shuts the sockets down: the
    thread that reads from a connection closes it. The server gives the next waiter what it was about to
    hand out."""
    for node in client.get_nodes() if isinstance(client, RedisCluster) else [client]:
        one = getattr(node, "redis_connection", node)
        for connection in list(getattr(one and one.connection_pool, "_in_use_connections", ())):
            with contextlib.suppress(OSError, AttributeError):
                connection._sock.shutdown(socket.SHUT_RDWR)


class Worker:
    """Takes tasks and handles each in a thread. A handler that returns has done its task; what it
    raises gives the task back (Snooze: later, Bury: to the dead letters, else with a pause that
    doubles). Its task's lease is renewed; a handler that may run longer than the lease should look
    at lost(task)."""

    def __init__(self, hf: Holdfast, policy: Policy, handler: Callable[[Task], Any], concurrency: int):
        self._hf, self._p, self._handler, self._n = hf, policy, handler, concurrency
        self._waiter = duplicate(hf._client, RedisCluster, Retry, _core.SLICE + _core.MARGIN)
        self._stop, self._free = threading.Event(), threading.Semaphore(concurrency)
        self._hand: Dict[str, bool] = {}  # entries in hand, and whether each is lost
        self._mu = threading.Lock()
        self.consumer = "%s-%s" % (socket.gethostname(), _core.new_owner()[:12])

    def lost(self, task: Task) -> bool:
        return self._hand.get(task.entry, True)

    def stop(self) -> None:
        """Ends run: tasks in hand are finished, no further ones are taken."""
        self._stop.set()
        hang_up(self._waiter)

    def run(self) -> None:
        """Works until stop is called, through restarts and failovers of the server."""
        resume, attempt = False, 0
        with ThreadPoolExecutor(self._n, "holdfast-task") as pool:
            while not self._stop.is_set():
                self._free.acquire()
                if self._stop.is_set():
                    break
                room = 1
                while room < self._n and self._free.acquire(blocking=False):
                    room += 1
                got: List[Task] = []
                try:
                    got = self._hf._drive(_core.consume(self._p, self.consumer, room, resume), self._waiter)
                    resume, attempt = False, 0
                except (_core.Broken, _core.Refused) as e:
                    resume, attempt = True, attempt + 1
                    if self._stop.is_set():
                        break
                    log.warning("holdfast: cannot take tasks of %s: %s", self._p.stream, e)
                    self._stop.wait(min(2.0, 0.05 * 2 ** min(attempt, 6)))
                got = [t for t in got if t.entry not in self._hand]
                for _ in range(room - len(got)):
                    self._free.release()
                for t in got:
                    self._hand[t.entry] = False
                    pool.submit(self._one, t)
        with contextlib.suppress(_core.Broken, _core.Refused):
            self._hf._drive(_core.once(["TASK.FORGET", self._p.stream, self._p.group, self.consumer], self._p.stream))

    def _one(self, t: Task) -> None:
        def lost() -> None:
            self._hand[t.entry] = True

        try:
            self._hf._drive(_core.handle(self._p, t, lambda: self._handler(t), lost, clock))
        except _core.Refused as e:
            log.error("holdfast: task %s of %s: %s", t.id, self._p.stream, e)
        finally:
            del self._hand[t.entry]
            self._free.release()
