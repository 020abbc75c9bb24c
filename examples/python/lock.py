"""A nightly report that one process writes at a time. Prints:
  written with a token
  busy
"""
import os

import redis

from holdfast import Holdfast, NotHeld

hf = Holdfast(redis.Redis.from_url(os.environ["REDIS_URL"]))

with hf.lock("report", ttl=30, wait=10) as lease:
    lease.check()  # raises Lost when the lock is not ours any more: before each step that matters
    if lease.token > 0:  # grows with every holder: have what you write to refuse smaller ones
        print("written with a token")
    try:
        with hf.lock("report", wait=0):
            pass
    except NotHeld:
        print("busy")
hf.close()
