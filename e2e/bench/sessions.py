"""Idle sessions held by an ensemble of ours: what they take in memory and in CPU time, and that none is lost.

As many as are wanted do not fit into one process where open files are limited: three voters and three observers hold a
sixth each, and a generator for each of them sends the heartbeats. They are opened member by member, so that what a
session costs the members that it is not connected to is seen by itself.
"""

import contextlib
import shutil
import time

from e2e.bench.members import LIMIT, PAUSE, Asked, Ensemble
from e2e.bench.quorum import figure, say
from e2e.bench.zookeepers import load_command
from e2e.harness.wait import until

OBSERVERS = 3


def hold(commands, folder, size):
    """What was seen of `size["count"]` sessions over twice their timeout."""
    count, timeout = size["count"], size["timeout"]
    say(f"{count} idle sessions: three of troupe and {OBSERVERS} observers")
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        ensemble = stack.enter_context(Ensemble("troupe", commands, folder, observers=OBSERVERS))
        leader = ensemble.leader()
        # The leader is last, and an observer before it: each has the others' sessions by themselves until then.
        members = [member for member in ensemble.members if member is not leader] + [leader]
        # Those with which was asked whether a member serves have ended.
        everywhere(members, 0)
        seen = [[member.memory()["pss"] for member in members]]
        holders, shares, opened, first = [], [], [], 0
        for number, member in enumerate(members):
            share = count * (number + 1) // len(members) - first
            more = ["--first", first, "--count", share, "--timeout-ms", timeout * 1000]
            holders.append(stack.enter_context(Asked(load_command(member.ports, [], "sessions", *more))))
            opened.append(holders[-1].line()["opened_rate"])
            shares.append(share)
            first += share
            everywhere(members, first)
            seen.append([member.memory()["pss"] for member in members])
            say(f"  {first}")
        cpu, began = [member.cpu() for member in members], time.monotonic()
        time.sleep(2 * timeout)
        seconds = time.monotonic() - began
        cpu = [(member.cpu() - before) / seconds for member, before in zip(members, cpu, strict=True)]
        told = [holder.told() for holder in holders]
        everywhere(members, count)
        rest = [member.memory()["pss"] for member in members]
    shutil.rmtree(folder)
    sums = {key: sum(one[key] for one in told) for key in ("alive", "ended", "heartbeats")}
    return {"count": count, "shares": shares, "pss": [*seen, rest], "cpu": cpu, "opened_rate": opened, **sums}


def everywhere(members, count):
    """Waits until every member knows of just so many sessions."""
    until(f"{count} sessions on every member", lambda: {member.session_count() for member in members} == {count}, LIMIT, PAUSE)


def figures(held):
    """What has a target, and what stands beside it. Proportional bytes: what members share counts once."""
    if not held:
        return []
    # A few do not outweigh what a member takes once, for its code, its buffers and the newest transactions.
    target = 1024 if held["count"] >= 100_000 else None
    count, shares, (first, *_, rest) = held["count"], held["shares"], held["pss"]
    here = [(held["pss"][at + 1][at] - held["pss"][at][at]) / share for at, share in enumerate(shares)]
    observer, leader = (
        (held["pss"][at][at] - first[at]) / sum(shares[:at]) for at in (len(shares) - 2, len(shares) - 1)
    )
    return [
        figure(f"memory of each of {count} idle sessions, all members", "B", [(sum(rest) - sum(first)) / count], target),
        figure("  on the member it is connected to", "B", here),
        figure("  on an observer that it is not connected to", "B", [observer]),
        figure("  on the leader, not connected to it", "B", [leader]),
        figure("  that live after twice their timeout", "", [held["alive"]], count, at_least=True),
        figure("  CPU time of all members, of one core", "%", [100 * sum(held["cpu"])]),
    ]
