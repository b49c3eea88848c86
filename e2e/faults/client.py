"""A client that never gives up its session, and writes down all it did, was told and saw."""

import dataclasses
import random
import struct
import threading
import time

from e2e.harness import zkwire
from e2e.harness.zkwire import STAT, Closed, Link, buf, i32, i64, multi, vec

SESSION_MS = 60_000
# Longer than a healthy ensemble ever takes; after it the client tries another member, as a driver's read timeout does.
PATIENCE = 2.0
# Operations a second: few enough that a judge of all orders ends, enough that some are under way at each fault.
PACE = 100
PAIRS = 4
# Seconds after which all go on to other znodes, for the judge's sake too.
ROUND = 4

OK, RUNTIME_INCONSISTENCY, NODE_EXISTS, BAD_VERSION = 0, -2, -110, -103


@dataclasses.dataclass
class Did:
    """One operation on the pair `group`. Times in ns of one clock; `outcome` None: nobody knows whether it was done."""

    group: str
    client: int
    call: int
    steps: list
    ret: int = 0
    outcome: dict | None = None
    # Of the transaction, where there was one.
    zxid: int = 0


@dataclasses.dataclass
class Saw:
    """One answer, of any kind, on a session, in the order of its coming."""

    call: int
    ret: int
    zxid: int
    # Of a read: what of, the znode's mzxid, version and data.
    path: str = ""
    mzxid: int = 0
    version: int = 0
    value: str = ""
    # When its watch was set: the mzxid then, if no event has come since.
    watched: int = 0


class Client(threading.Thread):
    def __init__(self, number, members, seed, began):
        super().__init__(name=f"client {number}")
        self.number, self.members, self.began = number, members, began
        self.random = random.Random(f"{seed}/{number}")
        self.stopping = threading.Event()
        self.link = None
        self.session, self.password, self.last_zxid = 0, bytes(16), 0
        self.did, self.saw, self.watched, self.known = [], [], {}, {}
        self.made = []
        self.trouble = None
        self.reconnections = 0

    def run(self):
        try:
            self.ask(zkwire.CREATE, zkwire.create(f"/alive-{self.number}", flags=1))
            while not self.stopping.is_set():
                self.one()
                time.sleep(self.random.expovariate(PACE))
        except BaseException as error:
            self.trouble = error

    def stop(self):
        self.stopping.set()
        self.join()
        if self.trouble:
            raise self.trouble

    def one(self):
        """Some operation."""
        group = f"{int((time.monotonic() - self.began) // ROUND)}-{self.random.randrange(PAIRS)}"
        first = self.random.randrange(2)
        value = f"{self.number}.{len(self.did)}"
        match self.random.randrange(10):
            case 0 | 1 | 2:
                self.read(f"/{group}-{first}", watch=self.random.random() < 0.3)
            case 3 | 4:
                self.transact(group, [("set", first, -1, value)])
            case 5:
                self.transact(group, [("set", first, self.version(group, first), value)])
            case 6:
                self.transact(group, [("set", 0, -1, value), ("set", 1, -1, value)])
            case 7:
                self.transact(group, [("check", first, self.version(group, first), ""), ("set", 1 - first, -1, value)])
            case 8:
                got = self.read(f"/{group}-{first}", watch=False)
                if got:
                    self.transact(group, [("is", first, got.version, got.value)])
            case 9:
                path = f"/made-{self.number}-{len(self.made)}"
                # Nobody else makes it: that it is there already says that it was done when the answer was lost.
                self.made.append([path, 0, time.monotonic_ns(), 0])
                answer = self.ask(zkwire.CREATE, zkwire.create(path))
                if answer and answer[2] == OK:
                    self.made[-1][1:] = [answer[1], self.made[-1][2], time.monotonic_ns()]

    def version(self, group, register):
        return self.known.get(f"/{group}-{register}", 0)

    def transact(self, group, steps):
        call = time.monotonic_ns()
        did = Did(group, self.number, call, [dict(zip(("kind", "register", "want", "value"), step)) for step in steps])
        alone = len(steps) == 1 and steps[0][0] == "set"
        # The registers are made by whoever is first; those that are made already are no error. Who has read one does not
        # know that the other is made.
        for path in (f"/{group}-0", f"/{group}-1"):
            if path not in self.known:
                answer = self.ask(zkwire.CREATE, zkwire.create(path))
                if answer is None or answer[2] not in (OK, NODE_EXISTS):
                    return
                self.known.setdefault(path, 0)
                did.call = time.monotonic_ns()
        ops = []
        for kind, register, want, value in steps:
            path = f"/{group}-{register}"
            if kind == "set":
                ops.append((zkwire.SET_DATA, buf(path) + buf(value) + i32(want)))
            else:
                ops.append((zkwire.CHECK, buf(path) + i32(want)))
        answer = self.ask(*(ops[0] if alone else (zkwire.MULTI, multi(*ops))))
        did.ret = time.monotonic_ns()
        self.did.append(did)
        if answer is None:
            return
        _, zxid, error, body = answer
        if alone:
            versions = None if error else [STAT.unpack(body[: STAT.size])[4]]
            if error not in (OK, BAD_VERSION):
                raise AssertionError(f"setData of {group}: error {error}")
        else:
            versions = results(body, len(ops))
        did.outcome = {"done": versions is not None, "versions": versions or []}
        did.zxid = zxid if versions is not None else 0
        for (_, register, _, _), version in zip(steps, versions or []):
            if version >= 0:
                self.known[f"/{group}-{register}"] = version

    def read(self, path, watch):
        """What is there; None when it is not, or nobody answers."""
        watch = watch and path not in self.watched
        call = time.monotonic_ns()
        answer = self.ask(zkwire.GET_DATA, buf(path) + (b"\1" if watch else b"\0"))
        if answer is None or answer[2] != OK:
            return None
        _, zxid, _, body = answer
        value = body[4 : -STAT.size].decode()
        _, mzxid, _, _, version, *_ = STAT.unpack(body[-STAT.size :])
        saw = Saw(call, time.monotonic_ns(), zxid, path, mzxid, version, value, self.watched.get(path, 0))
        # In the place of what is noted of any answer.
        self.saw[-1] = saw
        self.known[path] = version
        if watch:
            self.watched[path] = mzxid
        return saw

    def ask(self, kind, record):
        """The answer, or None when the connection was lost over it."""
        while self.link is None:
            if self.stopping.is_set():
                return None
            self.connect()
        call = time.monotonic_ns()
        try:
            answer = self.link.ask(kind, record)
        except (Closed, OSError):
            self.lose()
            return None
        self.take_events()
        self.told(call, answer)
        return answer

    def told(self, call, answer):
        if answer[1] > 0:
            self.last_zxid = max(self.last_zxid, answer[1])
            self.saw.append(Saw(call, time.monotonic_ns(), answer[1]))

    def take_events(self):
        for kind, _, path, _ in self.link.events:
            if kind == 3 and path not in self.watched:
                raise AssertionError(f"client {self.number} was told twice, or of what it did not watch: {path}")
            self.watched.pop(path, None)
        self.link.events.clear()

    def connect(self):
        """To some member; its session goes on there. One try."""
        member = self.random.choice(self.members)
        try:
            link = Link(member, timeout=PATIENCE)
        except OSError:
            time.sleep(0.02)
            return
        try:
            opened = link.open(SESSION_MS, self.session, self.password, self.last_zxid)
        except OSError:
            opened = None
        if opened is None:
            link.socket.close()
            time.sleep(0.02)
            return
        if opened[0] <= 0 or (self.session and opened[1] != self.session):
            raise AssertionError(f"client {self.number} was told that its session {self.session:#x} is over")
        self.link, self.session, self.password = link, opened[1], opened[2]
        self.reconnections += 1
        if self.watched:
            paths = vec(sorted(self.watched))
            call = time.monotonic_ns()
            try:
                answer = link.ask(zkwire.SET_WATCHES, i64(self.last_zxid) + paths + vec([]) + vec([]), xid=-8)
            except (Closed, OSError):
                self.lose()
                return
            self.take_events()
            self.told(call, answer)

    def lose(self):
        # What came before the end counts.
        self.take_events()
        self.link.socket.close()
        self.link = None


def results(body, count):
    """The version that each part of a multi left, -1 for those that do not say; None when nothing was done."""
    at, versions = 0, []
    for _ in range(count):
        kind, _, error = struct.unpack_from(">i?i", body, at)
        at += 9
        if kind == -1:
            if error in (OK, RUNTIME_INCONSISTENCY):
                # Another part is why.
                at += 4
                versions.append(-1)
                continue
            if error != BAD_VERSION:
                raise AssertionError(f"a transaction of registers: error {error}")
            return None
        if kind == zkwire.SET_DATA:
            versions.append(STAT.unpack_from(body, at)[4])
            at += STAT.size
        else:
            versions.append(-1)
    return versions
