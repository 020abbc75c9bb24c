"""Of all who miss at once, one loads. Prints:
  loads 1, values 3
  missing None
"""
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import redis

from holdfast import Absent, Holdfast

hf = Holdfast(redis.Redis.from_url(os.environ["REDIS_URL"]))
loads = []


def load():
    loads.append(1)
    time.sleep(0.2)  # as a database takes
    return json.dumps({"name": "Ann"}).encode()


def missing():
    raise Absent(5)  # remembered for five seconds


with ThreadPoolExecutor() as pool:
    values = list(pool.map(lambda _: hf.fetch("user:7", load, ttl=60, refresh=10), range(3)))
print(f"loads {len(loads)}, values {len([v for v in values if json.loads(v)['name'] == 'Ann'])}")
print("missing", hf.fetch("user:8", missing, ttl=60))
hf.close()
