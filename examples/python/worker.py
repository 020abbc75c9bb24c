"""A worker with retries. Prints:
  try 1 of ann
  try 2 of ann
  done ann
"""
import json
import os
import signal

import redis

from holdfast import Bury, Holdfast

hf = Holdfast(redis.Redis.from_url(os.environ["REDIS_URL"]))


def send(task):
    to = json.loads(task.payload).get("to")
    if not to:
        raise Bury("no address")  # no further try can help
    print(f"try {task.tries + 1} of {to}")
    if task.tries == 0:
        raise RuntimeError("smtp is away")
    # task.id is the same in every try: check by it what was done already.
    print(f"done {to}")
    worker.stop()


worker = hf.worker("mail", send, concurrency=4, lease=30, max_retries=5, backoff=0.01)
signal.signal(signal.SIGTERM, lambda *_: worker.stop())  # finishes what it has

hf.publish("mail", json.dumps({"to": "ann"}).encode(), unique="welcome-ann")
worker.run()
hf.close()
