"""Three servers as one ensemble, all Apache's or all ours, on one machine, and observers; and their failures. Loopback only."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time

from e2e.bench.zookeepers import Loaded, Server, free_port, load_command
from e2e.harness.wait import until

# What Apache's limits come to at the usual tick of 2 s: a leader that hangs is noticed after 10 s.
CONFIG = """\
initLimit=10
syncLimit=5
"""
COUNT = 3
# Seconds that only a hang takes, and between two looks.
LIMIT, PAUSE = 180, 0.02
# Seconds behind a loss in which no session may expire and nothing may be lost, either.
AFTER = 0.5


class Member(Server):
    """One of an ensemble."""

    def role(self):
        """`leader`, `follower` or `observer`; None while it is none of them."""
        try:
            found = re.search(r"Mode: (leader|follower|observer)", self.srvr(timeout=2))
        except OSError:
            return None
        return found.group(1) if found else None

    def zxid(self):
        try:
            return int(re.search(r"Zxid: (0x[0-9a-f]+)", self.srvr(timeout=2)).group(1), 16)
        except (OSError, AttributeError):
            return 0


class Ensemble(Loaded):
    """Three voters and maybe observers that serve; a context manager."""

    def __init__(self, name, commands, folder, heap="1g", snap_count=100_000, observers=0):
        self.name, self.folder, self.commands = name, folder, commands
        numbers = range(COUNT + observers)
        self.members = [Member(name, commands, folder / f"{name}-{number}", heap, snap_count) for number in numbers]

    def __enter__(self):
        for member in self.members:
            member.port, member.quorum, member.election = free_port(), free_port(), free_port()
        try:
            for member in self.members:
                self.launch(member)
            for member in self.members:
                member.serves()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def launch(self, member):
        (member.folder / "data").mkdir(parents=True, exist_ok=True)
        (member.folder / "data" / "myid").write_text(str(self.members.index(member) + 1))
        servers = "".join(
            f"server.{number}=127.0.0.1:{other.quorum}:{other.election}{'' if number <= COUNT else ':observer'}\n"
            for number, other in enumerate(self.members, 1)
        )
        kind = "" if self.members.index(member) < COUNT else "peerType=observer\n"
        member.launch(CONFIG + kind + servers)

    def swap(self, member, name, keep):
        """Ends a member in order and starts one of `name` in its place, over its files or without any. Not before the others
        have a leader: on a machine of its own it would take no processor from their election."""
        member.process.terminate()
        member.process.wait(LIMIT)
        self.leader([other for other in self.members if other is not member])
        for part in () if keep else ("data", "log"):
            shutil.rmtree(member.folder / part)
        other = Member(name, self.commands, member.folder, snap_count=member.snap_count)
        other.port, other.quorum, other.election = member.port, member.quorum, member.election
        self.members[self.members.index(member)] = other
        self.launch(other)
        other.serves()
        return other

    def stop(self):
        for member in self.members:
            if hasattr(member, "process"):
                # One that was stopped hears nothing.
                with contextlib.suppress(ProcessLookupError):
                    member.process.send_signal(signal.SIGCONT)
                member.process.kill()
                member.process.wait()

    @property
    def ports(self):
        return [member.port for member in self.members]

    @property
    def pids(self):
        return [member.pid for member in self.members]

    def leader(self, among=None):
        """The one that leads, once all others follow; `among` those that run."""
        members = among or self.members

        def settled():
            roles = [member.role() for member in members]
            if roles.count("leader") == 1 and all(roles):
                return members[roles.index("leader")]
            return None

        return until(f"{self.name}: one leads and all others follow", settled, LIMIT, PAUSE)

    def followers(self):
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def same(self):
        """Waits until all members have applied the same."""
        until(f"{self.name}: all members at one zxid", lambda: len({member.zxid() for member in self.members}) == 1, LIMIT, PAUSE)

    def outage(self, signal_number, disk, timeout_ms=30_000):
        """The milliseconds in which a client of a surviving member cannot write when the leader gets this signal, and the
        rest of what it saw, also in the time after; and the disk's longest flush meanwhile. The member is whole again
        afterwards."""
        leader = self.leader()
        others = [member for member in self.members if member is not leader]
        with Writer([member.port for member in others], timeout_ms) as writer:
            writer.goes_on(200)
            begun = time.monotonic()
            leader.process.send_signal(signal_number)
            if signal_number == signal.SIGSTOP:
                # It is over when another one leads.
                until(f"{self.name}: another leader", lambda: any(other.role() == "leader" for other in others), LIMIT, PAUSE)
            else:
                leader.process.wait(LIMIT)
            found = writer.all_write()
            flush = disk.longest(begun, time.monotonic())
            after = writer.seen(AFTER)
        if signal_number == signal.SIGSTOP:
            leader.process.send_signal(signal.SIGCONT)
        else:
            self.launch(leader)
        leader.serves()
        self.leader()
        longest = {"longest_ms": found["longest_ms"], "after_ms": after["longest_ms"], "flush_ms": flush}
        return {**together([found, after]), **longest}


class Asked:
    """A generator that tells for each line of input what it has seen; a context manager."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def told(self):
        """What was seen since this was asked before."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended with {self.process.wait()}")
        return json.loads(line)


class Writer(Asked):
    """The generator's sessions that write and check what they read; a context manager."""

    def __init__(self, ports, timeout_ms=30_000, *more):
        super().__init__(load_command(ports, [], "outage", "--timeout-ms", timeout_ms, *more))

    def goes_on(self, count):
        """Waits for so many writes more."""
        while (count := count - self.told()["writes"]) > 0:
            pass

    def all_write(self):
        """All that was seen since it was asked before, until each session writes again: of two more writes the first may have
        been ordered before."""
        seen = [self.told()]
        enough = [count + 2 for count in seen[0]["of_each"]]
        while any(count < least for count, least in zip(seen[-1]["of_each"], enough, strict=True)):
            seen.append(self.told())
        return together(seen)

    def seen(self, seconds):
        """All that was seen since it was asked before, and in so many seconds more."""
        seen = [self.told()]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen.append(self.told())
            time.sleep(0.01)
        return together(seen)

    def ends(self):
        """Asks every member for what it has; answers with what was seen since it was asked before."""
        self.process.stdin.close()
        return json.loads(self.process.stdout.readlines()[-1])


def together(seen):
    """Several reports as one."""
    sums = {key: sum(one[key] for one in seen) for key in ("writes", "reads", "connects", "expired", "violations")}
    words = [word for one in seen for word in one["words"]]
    return {"longest_ms": max(one["longest_ms"] for one in seen), **sums, "words": words}
