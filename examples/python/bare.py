"""Without our package: what each wait needs, in redis-py. Prints:
  1
  holder me
  task hello
"""
import os

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

url = os.environ["REDIS_URL"]
side = redis.Redis.from_url(url, socket_timeout=2)
# Nothing is sent again by itself: a command that was sent twice could take a lock twice. The
# timeout is longer than the waits of five seconds. Each call has a connection of the pool.
waiter = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=7, socket_connect_timeout=2)

print(waiter.execute_command("LOCK.ACQUIRE", "job", "me", 30000, "BLOCK", 5000))
info = side.execute_command("LOCK.INFO", "job")  # a flat list in RESP2
info = dict(zip(info[::2], info[1::2]))
holder = dict(zip(info[b"holders"][0][::2], info[b"holders"][0][1::2]))
print("holder", holder[b"owner"].decode())
side.execute_command("LOCK.RELEASE", "job", "me")

side.execute_command("TASK.PUBLISH", "greetings", "hello")
# LEASE: a task whose reply is lost is handed out again.
reply = waiter.execute_command("TASK.CONSUME", "workers", "me", "greetings", 1, 5000, "LEASE", 30000)
for _, entries in reply:
    for entry, fields in entries:
        task = dict(zip(fields[::2], fields[1::2]))
        print("task", task[b"payload"].decode())
        side.execute_command("TASK.ACK", "greetings", "workers", entry, "CONSUMER", "me")  # 0: it is another's by now
