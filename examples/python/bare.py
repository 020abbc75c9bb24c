"""Without our package: a lock and a worker that lose nothing when a reply is lost, in redis-py. Prints:
  written by one
  task hello
"""
import contextlib
import os
import threading
import time
import uuid

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

url = os.environ["REDIS_URL"]
BROKEN = (redis.ConnectionError, redis.TimeoutError)
side = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=2)
# Nothing is sent again by itself. The timeout is longer than the waits of five seconds. Each call
# has a connection of the pool to itself.
waiter = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=7, socket_connect_timeout=2)


def again(*command):
    """Sends a command that may be sent twice, until the server answers."""
    while True:
        try:
            return side.execute_command(*command)
        except BROKEN:
            time.sleep(0.05)


@contextlib.contextmanager
def lock(name, ttl_ms=30000, wait=60):
    owner, token, end = uuid.uuid4().hex, 0, time.monotonic() + wait  # an owner for each acquire
    released = threading.Event()

    def renew():
        while not released.wait(ttl_ms / 3000):
            again("LOCK.EXTEND", name, owner, ttl_ms)  # 0: it is lost, the work should stop

    try:
        # AGAIN: whoever was granted the lock in a reply that was lost is told so now.
        while not token and time.monotonic() < end:
            with contextlib.suppress(*BROKEN):
                token = waiter.execute_command("LOCK.ACQUIRE", name, owner, ttl_ms, "BLOCK", 5000, "WITHTOKEN", "AGAIN")
        if not token:
            raise TimeoutError(name)
        threading.Thread(target=renew, daemon=True).start()
        yield token
    finally:
        released.set()
        again("LOCK.RELEASE", name, owner)  # withdraws a wait, too


def tasks(queue, group="workers"):
    """The queue's payloads; each is acknowledged when the next one is asked for."""
    me, resume = uuid.uuid4().hex, []
    while True:
        try:
            # LEASE: tasks of a worker that died are taken over.
            reply = waiter.execute_command("TASK.CONSUME", group, me, queue, 1, 5000, "LEASE", 30000, *resume)
            resume = []
        except BROKEN:
            reply, resume = [], ["RESUME"]  # what a lost reply brought is ours
        for _, entries in reply or []:
            for entry, fields in entries:
                yield fields[fields.index(b"payload") + 1]
                again("TASK.ACK", queue, group, entry, "CONSUMER", me)


with lock("report") as token:
    if token > 0:
        print("written by one")
again("TASK.PUBLISH", "greetings", "hello", "UNIQUE", "hello-1", 60000)
for payload in tasks("greetings"):
    print("task", payload.decode())
    break
