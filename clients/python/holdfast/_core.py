"""What the threaded and the asyncio client share: the commands, when to send one again,
what its reply means, and what becomes of a load or a task. Nothing here does input or output.

An operation is a generator that yields a Call, a Pause or a Work. Its driver carries that
out and sends the result in. It throws in what went wrong: Broken where the connection was lost
and nobody knows what the server did, Refused where the server answered with an error.
"""

import contextlib
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generator, List, Optional

SLICE = 5.0      # longest wait of one command; longer waits are a loop of these
MARGIN = 2.0     # a waiting connection gives up so long after the server should have answered
REPLY = 2.0      # how long a command that does not wait may take


class HoldfastError(Exception):
    """Base class of what this package raises."""


class NotHeld(HoldfastError):
    """The lock was not to be had in time."""


class Lost(HoldfastError):
    """The lease ended before the work did: somebody else may hold the lock, or have the task."""


class Busy(HoldfastError):
    """The value is still being loaded by somebody else, and the wait is over."""


class LoadFailed(HoldfastError):
    """Whoever loaded the value failed; the text says why."""


class Absent(Exception):
    """Raised by a loader: there is nothing of that name, and that may be remembered for ttl seconds."""

    def __init__(self, ttl: float = 10.0):
        super().__init__("absent")
        self.ttl = ttl


class NoStore(Exception):
    """Raised by a loader: answer this value and store nothing."""

    def __init__(self, value: bytes):
        super().__init__("not stored")
        self.value = value


class Snooze(Exception):
    """Raised by a handler: try again after so many seconds; it is no failure."""

    def __init__(self, delay: float):
        super().__init__("snooze")
        self.delay = delay


class Bury(Exception):
    """Raised by a handler: no further try can help, put the task with the dead letters."""


class Broken(Exception):
    """Thrown into an operation whose connection broke. What the server did is unknown."""


class Refused(Exception):
    """Thrown into an operation that the server answered with an error."""

    def __init__(self, text: str):
        super().__init__(text)
        self.word = text.split(" ", 1)[0].rstrip(":")


@dataclass
class Call:
    """A command to send. One that waits has a connection to itself."""

    args: List[Any]
    key: str
    wait: float = 0.0


@dataclass
class Pause:
    seconds: float


@dataclass
class Work:
    """The caller's function, to be run while the command renew keeps its lease. lost is
    called when the lease is lost; with stop the function is then cancelled where it can be."""

    run: Callable[[], Any]
    renew: List[Any]
    key: str
    lease: float
    lost: Callable[[], None] = lambda: None
    stop: bool = False


Op = Generator[Any, Any, Any]


def ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def new_owner() -> str:
    return uuid.uuid4().hex


def text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def once(args: List[Any], key: str) -> Op:
    return (yield Call(args, key))


# ---- locks -------------------------------------------------------------------


def acquire(name: str, owner: str, ttl: float, wait: float, clock, limit: int, shared: bool, meta: str) -> Op:
    """Returns the fencing token, or None when the wait is over. When a reply is lost, the lock may be
    held in the owner's name: acquire releases it and asks again."""
    args: List[Any] = ["LOCK.ACQUIRE", name, owner, ms(ttl)]
    if shared:
        args.append("SHARED")
    elif limit > 1:
        args += ["LIMIT", limit]
    if meta:
        args += ["META", meta]
    end = clock() + wait
    while True:
        left = end - clock()
        now = args + (["BLOCK", ms(min(left, SLICE))] if left > 0 else []) + ["WITHTOKEN"]
        try:
            token = yield Call(now, name, max(min(left, SLICE), 0.0))
        except Broken:
            yield from release(name, owner, ttl, clock)
            if clock() >= end:
                raise
            yield Pause(0.05)
            continue
        if token:
            return int(token)
        if clock() >= end:
            return None


def release(name: str, owner: str, ttl: float, clock) -> Op:
    """Releases the lock, or withdraws the wait for it. Repeats until the server answers or the lease
    must have ended."""
    end = clock() + ttl
    while True:
        try:
            return int((yield Call(["LOCK.RELEASE", name, owner], name)))
        except Broken:
            if clock() >= end:
                return 0
            yield Pause(0.05)


def renew(args: List[Any], key: str, ttl: float, clock, stopped) -> Op:
    """Sends an extending command three times in each lease. Returns True when stopped says so, and
    False when the lease is lost: the server answered 0, or did not answer for as long as the
    lease lasts."""
    leased = clock()
    while not stopped():
        yield Pause(ttl / 3)
        if stopped():
            return True
        sent = clock()
        try:
            if int((yield Call(args, key))) == 0:
                return stopped()
            leased = sent
        except (Broken, Refused):
            pass
        if clock() >= leased + ttl:
            return False
    return True


# ---- the cache ---------------------------------------------------------------


def fetch(key: str, load: Callable[[], Any], ttl: float, lease: float, budget: float, wait: float, refresh: float, clock) -> Op:
    """Returns the value, or None for a known absence. Loads the value when the server says so, and
    when the server cannot be reached."""
    try:
        value, token = yield from find(key, lease, budget, wait, refresh, clock)
    except Broken:
        token = 0
    else:
        if token is None:
            return value
    end: List[Any] = ["CACHE.UNLOCK", key, token]
    try:
        value = yield Work(load, ["CACHE.EXTEND", key, token, ms(lease)] if token else [], key, lease)
        end = ["CACHE.SET", key, value, ms(ttl), "TOKEN", token]
        return value
    except Absent as e:
        end = ["CACHE.SETNIL", key, ms(e.ttl), "TOKEN", token]
        return None
    except NoStore as e:
        return e.value
    except Exception as e:
        end = ["CACHE.FAIL", key, token, type(e).__name__, "BACKOFF", 1000]
        raise
    finally:
        if token:
            with contextlib.suppress(Broken, Refused):  # the lease ends by itself
                yield Call(end, key)


def find(key: str, lease: float, budget: float, wait: float, refresh: float, clock) -> Op:
    """Returns a value and no token, or no value and the token with which the caller loads it."""
    end = clock() + wait
    while True:
        left = min(max(end - clock(), 0.001), SLICE)
        args: List[Any] = ["CACHE.FETCH", key, ms(lease), ms(budget), "BLOCK", ms(left)]
        if refresh:
            args += ["REFRESH", ms(refresh)]
        try:
            status, value, token = yield Call(args, key, left)
        except Refused as e:
            if e.word == "LOADFAILED":
                raise LoadFailed(str(e)[len("LOADFAILED "):]) from None
            raise
        status = text(status)
        if status in ("HIT", "STALE"):
            return value, None
        if status == "ABSENT":
            return None, None
        if status == "LOAD":
            return None, int(token)
        if clock() >= end:
            raise Busy(key)


# ---- tasks -------------------------------------------------------------------


@dataclass
class Task:
    """A task handed to a worker. id stays the same through all its tries."""

    id: str
    entry: str
    payload: bytes
    tries: int
    published: int
    headers: Dict[str, bytes] = field(default_factory=dict)
    error: str = ""
    owner: str = ""


OWN = {"payload", "timestamp", "retry_count", "task_id", "error", "history"}


def tasks(reply: Any, owner: str) -> List[Task]:
    out = []
    for _, entries in reply or []:
        for entry, flat in entries:
            f = {text(flat[i]): flat[i + 1] for i in range(0, len(flat), 2)}
            out.append(Task(
                id=text(f.get("task_id", entry)), entry=text(entry), payload=f.get("payload", b""),
                tries=int(f.get("retry_count", 0)), published=int(f.get("timestamp", 0)),
                headers={k: v for k, v in f.items() if k not in OWN}, error=text(f.get("error", b"")), owner=owner))
    return out


def publish(stream: str, payload: bytes, delay: float, unique: str, unique_ttl: float, limit: int, headers: Optional[Dict[str, bytes]]) -> Op:
    """Returns the task's id. With a unique id publish repeats the command after a lost reply, and the
    server adds nothing the second time. Without one publish raises Broken."""
    args: List[Any] = ["TASK.PUBLISH", stream, payload]
    if delay:
        args += ["DELAY", ms(delay)]
    if unique:
        args += ["UNIQUE", unique, ms(unique_ttl)]
    if limit:
        args += ["LIMIT", limit]
    if headers:
        args += ["HEADERS", len(headers)]
        for k, v in headers.items():
            args += [k, v]
    for attempt in range(5):
        try:
            return text((yield Call(args, stream)))
        except Broken:
            if not unique or attempt == 4:
                raise
            yield Pause(0.05 * 2 ** attempt)


def settle(args: List[Any], key: str, lease: float, clock) -> Op:
    """Acknowledges a task or gives it back. Repeats until the server answers or the lease is over;
    after that another worker may have the task."""
    end = clock() + lease
    while True:
        try:
            return (yield Call(args, key))
        except Broken:
            if clock() >= end:
                return None
            yield Pause(0.1)


def dead_of(stream: str) -> str:
    """Returns the default stream of dead letters: in the stream's cluster slot, the same as the Go
    client's."""
    tagged = stream.partition("{")[2].find("}") > 0
    return stream + "::dead" if tagged else "{" + stream + "}:dead"


@dataclass
class Policy:
    """How a queue is worked on."""

    stream: str
    group: str = "workers"
    lease: float = 30.0
    max_retries: int = 10
    backoff: float = 1.0
    max_backoff: float = 600.0
    dead: str = ""

    def __post_init__(self) -> None:
        self.dead = self.dead or dead_of(self.stream)

    def ack(self, t: Task) -> List[Any]:
        return ["TASK.ACK", self.stream, self.group, t.entry, "CONSUMER", t.owner]

    def give_back(self, t: Task, error: BaseException) -> List[Any]:
        args: List[Any] = ["TASK.NACK", self.stream, self.group, t.owner, t.entry]
        if isinstance(error, Snooze):
            return args + ["DELAY", ms(error.delay), "NOCOUNT"]
        retries = 0 if isinstance(error, Bury) else self.max_retries
        reason = ("%s: %s" % (type(error).__name__, error))[:500]
        return args + ["BACKOFF", ms(self.backoff), ms(self.max_backoff), "MAXRETRIES", retries, "DEAD", self.dead, "REASON", reason]


def consume(p: Policy, consumer: str, count: int, resume: bool) -> Op:
    args: List[Any] = ["TASK.CONSUME", p.group, consumer, p.stream, count, ms(SLICE), "LEASE", ms(p.lease)]
    reply = yield Call(args + (["RESUME"] if resume else []), p.stream, SLICE)
    return tasks(reply, consumer)


def handle(p: Policy, t: Task, run: Callable[[], Any], lost: Callable[[], None], clock) -> Op:
    """Runs a task's handler, then acknowledges the task or gives it back, unless its lease was lost."""
    gone = False

    def lose() -> None:
        nonlocal gone
        gone = True
        lost()

    try:
        yield Work(run, ["TASK.EXTEND", p.stream, p.group, t.owner, t.entry], p.stream, p.lease, lose, stop=True)
        end = p.ack(t)
    except BaseException as e:
        if not gone and not isinstance(e, Exception):
            raise
        end = p.give_back(t, e)
    if not gone:
        yield from settle(end, p.stream, p.lease, clock)
