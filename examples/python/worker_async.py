"""The same with asyncio, whose handlers are cancelled when a task is lost. Prints:
  held
  done ann
"""
import asyncio
import os

import redis.asyncio

from holdfast import aio


async def main():
    hf = aio.Holdfast(redis.asyncio.Redis.from_url(os.environ["REDIS_URL"]))
    async with hf.lock("report", ttl=30, wait=10):
        print("held")

    async def send(task):
        print("done", task.payload.decode())
        worker.stop()

    worker = hf.worker("mail-async", send)
    await hf.publish("mail-async", b"ann", unique="welcome-ann")
    await worker.run()
    await hf.close()


asyncio.run(main())
