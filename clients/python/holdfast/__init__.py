"""Locks, a cache that cannot stampede and a task queue, on a Redis or Valkey
server with the Holdfast modules.

``Holdfast`` is for threads, ``holdfast.aio.Holdfast`` for asyncio. Both take the
redis-py client that the program has and make connections of their own from its
settings: a connection that waits must not be shared, and must not send again by
itself what may not be sent twice.

All durations are in seconds, as elsewhere in Python; values and payloads are bytes.
"""

from ._core import Absent, Busy, HoldfastError, LoadFailed, Lost, NoStore, NotHeld, Snooze, Bury, Task
from ._sync import Holdfast, Lease, Worker

__all__ = [
    "Absent", "Bury", "Busy", "Holdfast", "HoldfastError", "Lease", "LoadFailed",
    "Lost", "NoStore", "NotHeld", "Snooze", "Task", "Worker",
]
