"""Three members of Apache's and three of ours in turn, on one machine, under one generator.

Rates and CPU time over all members, interleaved in pairs; then what a member that was away costs, and what a client of
a surviving member sees when the leader is lost; and what idle sessions cost ours (`sessions.py`). As in `quorum.py` only
ratios taken in one run count.
"""

import contextlib
import math
import pathlib
import shutil
import signal
import tempfile

from e2e.bench import quorum, sessions
from e2e.bench.members import Ensemble
from e2e.bench.quorum import figure, say
from e2e.bench.zookeepers import NAMES, Disk, Null, flushes, prepare

# How often the leader is lost, and how. Of one loss in a hundred the disk has a say: a p99 takes a hundred.
SHORT = {
    "pairs": 2, "seconds": 1, "warmup": 0.5, "behind": 100_000, "znodes": 100_000, "times": 1, "heap": "1g",
    "losses": {"apache": {"SIGKILL": 1, "SIGTERM": 1}, "troupe": {"SIGKILL": 5, "SIGSTOP": 2, "SIGTERM": 5}},
    "large": {"apache": {}, "troupe": {"SIGKILL": 3, "SIGSTOP": 2, "SIGTERM": 3}},
    "sessions": {"count": 3_000, "timeout": 6},
}  # fmt: skip
FULL = {
    "pairs": 9, "seconds": 2, "warmup": 1, "behind": 100_000, "znodes": 1_000_000, "times": 3, "heap": "2500m",
    "losses": {"apache": {"SIGKILL": 5, "SIGSTOP": 2, "SIGTERM": 5}, "troupe": {"SIGKILL": 25, "SIGSTOP": 10, "SIGTERM": 25}},
    "large": {"apache": {"SIGKILL": 3, "SIGSTOP": 2, "SIGTERM": 3}, "troupe": {"SIGKILL": 100, "SIGSTOP": 10, "SIGTERM": 100}},
    "sessions": {"count": 100_000, "timeout": 30},
}  # fmt: skip

CASES = {
    "setData": ["run set"],
    "getData": ["run get"],
    "setData, 1 in flight": ["run set", "--connections", 1, "--depth", 1],
    "getData, 1 in flight x 64": ["run get", "--connections", 64, "--depth", 1],
}
COUNTED = {"setData": 50_000, "getData": 100_000, "setData, 1 in flight": 300}
LOSSES = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP, "SIGTERM": signal.SIGTERM}
PARTS = ("idle sessions", "behind", "outages", "large tree: apache", "large tree: troupe")


def run(args):
    size, cases, parts = quorum.chosen(args, SHORT, FULL, CASES, PARTS)
    commands = prepare()
    runs, counts, memory = {case: {name: [] for name in NAMES} for case in cases}, {}, {}
    found = {name: {} for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="troupe-bench-", dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        disk = flushes(folder)
        ceilings = {}
        if cases:
            with Null() as null:
                ceilings = {case: null.load(*CASES[case], "--seconds", 1, "--warmup", 0.3) for case in cases}
            rates(cases, commands, folder, size, runs, counts, memory)
        held = sessions.hold(commands, folder / "sessions", size["sessions"]) if "idle sessions" in parts else None
        for name in NAMES if {"behind", "outages"} & set(parts) else ():
            with started(name, commands, folder / name, "1g") as ensemble:
                if "behind" in parts:
                    found[name]["behind"] = [behind(ensemble, size["behind"]) for _ in range(size["times"])]
                if "outages" in parts:
                    found[name]["outages"] = outages(ensemble, size["losses"][name])
        for name in NAMES:
            if f"large tree: {name}" in parts and size["large"][name]:
                found[name]["large"] = large(name, commands, folder / f"{name}-large", size)
    details = {"size": size, "ceiling": ceilings, "runs": runs, "counts": counts, "memory": memory, "found": found, "sessions": held}
    if cases:
        quorum.show(size, ceilings, runs, counts)
    return figures(runs, found) + sessions.figures(held) + quorum.of_disk(disk), details


@contextlib.contextmanager
def started(name, commands, folder, heap):
    """An ensemble with the generator's znodes, warm; its files are gone afterwards."""
    say(f"start and warm up: three of {name}")
    folder.mkdir()
    with Ensemble(name, commands, folder, heap) as ensemble:
        ensemble.leader()
        ensemble.load("fill", "--nodes", 1000)
        # A virtual machine compiles what is hot; that is paid once and is not what is compared.
        ensemble.load("run set", "--seconds", 3, "--warmup", 0)
        ensemble.load("run get", "--seconds", 1, "--warmup", 0)
        yield ensemble
    shutil.rmtree(folder)


def rates(cases, commands, folder, size, runs, counts, memory):
    """Both ensembles run all the time and are loaded in turn, so that what else the machine does is shared by the two
    of a pair."""
    with contextlib.ExitStack() as stack:
        ensembles = {name: stack.enter_context(started(name, commands, folder / name, "1g")) for name in NAMES}
        span = ["--seconds", size["seconds"], "--warmup", size["warmup"]]
        for pair in range(size["pairs"]):
            say(f"pair {pair + 1} of {size['pairs']}")
            for case in cases:
                for name in NAMES if pair % 2 == 0 else NAMES[::-1]:
                    runs[case][name].append(ensembles[name].load(*CASES[case], *span))
        for name, ensemble in ensembles.items():
            memory[name] = [member.memory() for member in ensemble.members]
            counts[name] = {
                case: ensemble.load_counted(*CASES[case], "--ops", ops) for case, ops in COUNTED.items() if case in cases
            }


def behind(ensemble, writes):
    """A follower is away for so many writes: the seconds from its start to a session on it, and the megabytes that it
    and its leader hold then."""
    say(f"{writes} writes behind: {ensemble.name}")
    follower = ensemble.followers()[0]
    follower.process.kill()
    follower.process.wait()
    others = [member for member in ensemble.members if member is not follower]
    others[0].load("run set", "--ops", writes)
    return comes_back(ensemble, follower, others)


def comes_back(ensemble, follower, others):
    last = max(member.zxid() for member in others)
    ensemble.launch(follower)
    seconds = follower.serves()
    say(f"  {seconds:.2f} s to a session")
    reached = follower.zxid()
    if reached < last:
        raise RuntimeError(f"{ensemble.name}: a member serves at 0x{reached:x} and the others are at 0x{last:x}")
    return {"seconds": seconds, "memory": [member.memory()["rss"] / 1e6 for member in (follower, *others)]}


def outages(ensemble, losses):
    """Each loss of a leader, as a client of a surviving member sees it."""
    found = {}
    with Disk(ensemble.folder) as disk:
        for name, count in losses.items():
            say(f"leader lost by {name}, {count} times: {ensemble.name}")
            found[name] = [ensemble.outage(LOSSES[name], disk) for _ in range(count)]
            told = (f"{one['longest_ms']:.0f}{of_disk(one['flush_ms'])}" for one in found[name])
            say(f"  {', '.join(told)} ms without writes")
    return found


def of_disk(flush_ms):
    return f" (a flush: {flush_ms:.0f})" if flush_ms > 10 else ""


def large(name, commands, folder, size):
    """Over a large tree: the state sent to a member that has none, and the leader lost."""
    say(f"{size['znodes']} znodes: three of {name}")
    folder.mkdir()
    found = {"snapshot": []}
    with Ensemble(name, commands, folder, size["heap"], snap_count=10_000_000) as ensemble:
        ensemble.leader()
        ensemble.load("fill", "--nodes", size["znodes"])
        for _ in range(size["times"]):
            say(f"a member without data: {name}")
            follower = ensemble.followers()[0]
            follower.process.kill()
            follower.process.wait()
            for part in ("data", "log"):
                shutil.rmtree(follower.folder / part)
            found["snapshot"].append(
                comes_back(ensemble, follower, [member for member in ensemble.members if member is not follower])
            )
        found["memory"] = [member.memory() for member in ensemble.members]
        found["outages"] = outages(ensemble, size["large"][name])
    shutil.rmtree(folder)
    return found


def figures(runs, found):
    """The ratios and times that have a target, one value for each pair or time."""

    def pairs(case, pick, over="apache", under="troupe"):
        by_name = runs.get(case, {name: [] for name in NAMES})
        return [pick(a) / pick(b) for a, b in zip(by_name[over], by_name[under], strict=True) if pick(a) and pick(b)]

    def faster(case):
        return pairs(case, lambda run: run["rate"], "troupe", "apache")

    def cheaper(case):
        return pairs(case, lambda run: run["server_cpu_us"])

    made = [
        figure("setData, rate over Apache's", "x", faster("setData"), 6, at_least=True),
        figure("setData, Apache's CPU over ours, all members", "x", cheaper("setData"), 8, at_least=True),
        figure("getData, rate over Apache's", "x", faster("getData"), 6, at_least=True),
        figure("getData, Apache's CPU over ours", "x", cheaper("getData")),
        figure("getData 1 in flight x 64, rate over", "x", faster("getData, 1 in flight x 64")),
        figure(
            "setData 1 in flight, p50 over Apache's", "x",
            pairs("setData, 1 in flight", lambda run: run["write"]["p50_us"], "troupe", "apache"), 0.8,
        ),
    ]  # fmt: skip
    for part, what, target in (("behind", "writes behind, start to session", 1), ("snapshot", "snapshot, start to session", 1.5)):
        for name in NAMES[::-1]:
            seen = found[name].get(part) or found[name].get("large", {}).get(part, [])
            times = [one["seconds"] for one in seen]
            made.append(figure(what if name == "troupe" else "  Apache's", "s", times, target if name == "troupe" else None))
    targets = {"SIGKILL": (60, 150), "SIGSTOP": (1000, 1000), "SIGTERM": (15, 15)}
    for tree, of in (("", lambda one: one.get("outages", {})), ("large tree, ", lambda one: one.get("large", {}).get("outages", {}))):
        for loss, (middle, most) in targets.items():
            ours, theirs = ([one["longest_ms"] for one in of(found[name]).get(loss, [])] for name in ("troupe", "apache"))
            made.append(figure(f"{tree}no writes after {loss}, p50", "ms", ours, middle))
            made.append(figure(f"{tree}no writes after {loss}, p99", "ms", ours and [p99(ours)], most))
            made.append(figure("  the longest", "ms", ours and [max(ours)]))
            flushes = [one["flush_ms"] for one in of(found["troupe"]).get(loss, [])]
            made.append(figure("  the disk's longest flush meanwhile", "ms", flushes and [max(flushes)]))
            made.append(figure("  Apache's", "ms", theirs))
    lost = [one["expired"] for name in ("troupe",) for tree in ("outages", "large") for one in expired(found[name].get(tree, {}))]
    made.append(figure("sessions expired by a lost leader", "", lost and [sum(lost)], 0))
    return [figure for figure in made if figure["values"]]


def p99(values):
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def expired(part):
    part = part.get("outages", part)
    return [one for seen in part.values() if isinstance(seen, list) for one in seen if "expired" in one]
