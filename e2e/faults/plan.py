"""Which faults there are, and in which order a seed brings them."""

import random
import time

from e2e.faults.member import Member
from e2e.harness.wait import until


class Fault:
    """What is done, for how many seconds it lasts, and how it is undone. Nobody else is hurt meanwhile."""

    def __init__(self, name, begin, end, least, most):
        self.name, self.begin, self.end, self.least, self.most = name, begin, end, least, most


def faults(members, swaps):
    """All of them, each for any victim; `others` are those that a network fault cuts off."""

    def others(victim):
        return [member for member in members if member is not victim]

    def lose_all(victim):
        victim.network.lose(*(member.host for member in others(victim)))

    def lose_one(victim):
        victim.network.lose(others(victim)[0].host)

    def unheard(victim):
        for member in others(victim):
            member.network.lose(victim.host)

    def hear_again(victim):
        for member in others(victim):
            member.network.heal()

    def flush_error(victim):
        victim.terminate()
        # The first flushes make its files; the one after them fails as a broken disk's does.
        victim.start("fdatasync:error=EIO:when=30+")

    def after_flush_error(victim):
        # It has ended itself, or had too few flushes for it.
        if victim.runs():
            victim.terminate()
        victim.start()

    kinds = [
        Fault("SIGKILL", Member.kill, Member.start, 0.1, 1.5),
        Fault("SIGTERM", Member.terminate, Member.start, 0.1, 1.0),
        Fault("SIGSTOP", lambda victim: victim.freeze(True), lambda victim: victim.freeze(False), 0.5, 4.0),
        Fault("its packets to all others are lost", lose_all, lambda victim: victim.network.heal(), 0.5, 4.0),
        Fault("its packets to one other are lost", lose_one, lambda victim: victim.network.heal(), 0.5, 4.0),
        Fault("the others' packets to it are lost", unheard, hear_again, 0.5, 4.0),
        Fault("its cable is out", lambda victim: victim.network.plug(False), lambda victim: victim.network.plug(True), 0.5, 4.0),
        Fault("EIO from its flushes", flush_error, after_flush_error, 2.0, 4.0),
        Fault("its disk is full", Member.fill, Member.empty, 1.0, 3.0),
    ]
    if swaps:
        kinds.append(Fault("changed for the other make", Member.swap, Member.start, 0.0, 0.1))
    return kinds


def able(fault, victim, members):
    """Strace and our own way of ending at an error are for ours; a disk of its own not everybody has.

    One at a time is Apache's: of two, one that leads has the other cut its log and keep a snapshot of what was cut
    (ZOOKEEPER-4837), and it would be their history that is judged.
    """
    if fault.name.startswith("changed"):
        return victim.kind == "apache" or all(member.kind == "troupe" for member in members)
    if fault.name.startswith("EIO"):
        return victim.kind == "troupe"
    if fault.name.startswith("its disk"):
        return victim.disk is not None and victim.kind == "troupe"
    return True


def carry_out(members, seconds, seed, swaps, say):
    """One fault after another, the leader every other time, until the time is over; the names of those that were."""
    chance = random.Random(f"{seed}/faults")
    kinds = faults(members, swaps)
    bag, done = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        until("all members serve", lambda: all(member.serves() for member in members), limit=90)
        time.sleep(chance.uniform(0.2, 0.8))
        if not bag:
            bag = chance.sample(kinds, len(kinds))
        fault = bag.pop()
        wanted = [member for member in members if member.leads() == (len(done) % 2 == 0)] + members
        victim = next((member for member in wanted if able(fault, member, members)), None)
        if victim is None:
            continue
        say(f"member {victim.number} ({victim.kind}{', the leader' if victim.leads() else ''}): {fault.name}")
        fault.begin(victim)
        time.sleep(chance.uniform(fault.least, fault.most))
        fault.end(victim)
        done.append(fault.name)
    until("all members serve", lambda: all(member.serves() for member in members), limit=90)
    return done
