"""One ZooKeeper server of Apache's and one of ours in turn, on one machine, under one generator.

Machines are noisy and shared: only ratios taken in one run count, and CPU time, flushes and system calls for each
request before rates. Every rate is to be read beside the generator's own ceiling, which is measured first.
"""

import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from e2e.bench.zookeepers import NAMES, Null, Server, prepare

SHORT = {
    "pairs": 2, "seconds": 1, "warmup": 0.7, "znodes": 100_000, "watchers": 5, "sessions": 2_000,
    "snapshot_seconds": 5, "rate": 20_000, "snapshot_rate": 10_000, "heap": "2g",
}  # fmt: skip
FULL = {
    "pairs": 5, "seconds": 5, "warmup": 3, "znodes": 1_000_000, "watchers": 10, "sessions": 15_000,
    "snapshot_seconds": 40, "rate": 20_000, "snapshot_rate": 10_000, "heap": "6g",
}  # fmt: skip

# Those of `run` with the load that each puts on. In this order: only the last makes the tree grow.
CASES = {
    "setData": ["run set"],
    "getData": ["run get"],
    "getData, 1 in flight x 64": ["run get", "--connections", 64, "--depth", 1],
    "setData, 1 in flight": ["run set", "--connections", 1, "--depth", 1],
    "paced reads": ["run get", "--rate", None],
    "paced, half writes": ["run mix", "--rate", None],
    "create": ["run create", "--first", 1000, "--nodes", 3_999_000],
}


def run(args):
    size = dict(SHORT if args.short else FULL)
    if args.runs:
        size["pairs"] = args.runs
    commands = prepare()
    with tempfile.TemporaryDirectory(prefix="troupe-bench-", dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        ceilings = ceiling(size)
        runs, counts = rates(commands, folder, size)
        trees = big_trees(commands, folder, size)
    details = {"size": size, "ceiling": ceilings, "runs": runs, "counts": counts, "trees": trees}
    show(size, ceilings, runs, counts)
    return figures(runs, trees), details


def arguments(case, size):
    return [size["rate"] if argument is None else argument for argument in CASES[case]]


def ceiling(size):
    """What the generator reaches against a server that answers at once."""
    with Null() as null:
        return {case: null.load(*arguments(case, size), "--seconds", 1, "--warmup", 0.3) for case in CASES}


def rates(commands, folder, size):
    """The figures of each case, server and pair, and what each request cost in system calls."""
    runs = {case: {name: [] for name in NAMES} for case in CASES}
    counts = {}
    for pair in range(size["pairs"]):
        for name in NAMES:
            say(f"pair {pair + 1} of {size['pairs']}: {name}")
            with Server(name, commands, folder / f"{name}-{pair}", heap="2g") as server:
                server.load("fill", "--nodes", 4_000_000, "--parents-only")
                server.load("run create", "--nodes", 1000, "--ops", 1000)
                # A virtual machine compiles what is hot; that is paid once and is not what is compared.
                server.load("run set", "--seconds", 2, "--warmup", 0)
                for case in CASES:
                    span = ["--seconds", size["seconds"], "--warmup", size["warmup"]]
                    runs[case][name].append(server.load(*arguments(case, size), *span))
                if pair == 0:
                    counts[name] = {
                        "setData": server.load_counted("run set", "--ops", 100_000),
                        "getData": server.load_counted("run get", "--ops", 300_000),
                        "setData, 1 in flight": server.load_counted(
                            "run set", "--ops", 500, "--connections", 1, "--depth", 1
                        ),
                    }
            shutil.rmtree(server.folder)
    return runs, counts


def big_trees(commands, folder, size):
    """Memory of znodes, watches and sessions; the start; the tail while snapshots are written."""
    trees = {name: {} for name in NAMES}
    for name in NAMES:
        say(f"{size['znodes']} znodes: {name}")
        with Server(name, commands, folder / name, size["heap"], snap_count=10_000_000) as server:
            found = trees[name]
            before = server.memory()
            server.load("fill", "--nodes", size["znodes"])
            found["znodes"] = each(before, server.memory(), size["znodes"])
            watches = size["znodes"] * size["watchers"]
            with server.held("watches", "--nodes", size["znodes"], "--connections", size["watchers"]):
                # Against a server that has as many connections but no watches: the znodes are the same.
                found["watches"] = each(found["znodes"]["after"], server.memory(), watches)
        # Sessions on a server that has freed nothing yet: they would hide in what the znodes left.
        with Server(name, commands, folder / f"{name}-sessions", size["heap"]) as server:
            before = server.memory()
            with server.held("sessions", "--count", size["sessions"]) as opened:
                found["sessions"] = each(before, server.memory(), size["sessions"])
                found["sessions"]["opened_rate"] = opened["opened_rate"]
        shutil.rmtree(server.folder)
    # Both start from what Apache left: a log of all the writes, of which it makes a snapshot of its own at
    # each start, so it has been started once more.
    with Server("apache", commands, folder / "apache", size["heap"]):
        pass
    shutil.rmtree(folder / "troupe")
    shutil.copytree(folder / "apache", folder / "troupe", ignore=shutil.ignore_patterns("*.log", "zoo.cfg"))
    snap_count = size["snapshot_rate"] * size["snapshot_seconds"] // 4
    for name in NAMES:
        say(f"start with {size['znodes']} znodes from Apache's files, and snapshots: {name}")
        with Server(name, commands, folder / name, size["heap"], snap_count) as server:
            trees[name]["first_session"] = server.first_session
            trees[name]["znodes_found"] = server.node_count()
            trees[name]["loaded"] = server.memory()
            span = ["--seconds", size["snapshot_seconds"], "--warmup", 3, "--rate", size["snapshot_rate"]]
            trees[name]["tail"] = server.load(
                "run set", *span, "--nodes", size["znodes"], "--snapshots-in", server.snapshots()
            )
    return trees


def each(before, after, count):
    """Bytes for each of what was added."""
    kinds = [kind for kind in after if after[kind] is not None]
    return {"after": after, **{kind: (after[kind] - before[kind]) / count for kind in kinds}}


def figures(runs, trees):
    """The ratios that have a target, one value for each pair."""

    def pairs(case, pick, over="apache", under="troupe"):
        both = zip(runs[case][over], runs[case][under], strict=True)
        return [pick(a) / pick(b) for a, b in both if pick(a) and pick(b)]

    def faster(case):
        return pairs(case, lambda run: run["rate"], "troupe", "apache")

    def cheaper(case):
        return pairs(case, lambda run: run["server_cpu_us"])

    def mixed(name):
        both = zip(runs["paced, half writes"][name], runs["paced reads"][name], strict=True)
        return [mix["read"]["p99_us"] / pure["read"]["p99_us"] for mix, pure in both]

    def tail(name):
        run = trees[name]["tail"]
        during, between = run["during_snapshot"], run["between_snapshots"]
        return [during["p999_us"] / between["p999_us"]] if during and between else []

    ours = trees["troupe"]
    found = [
        figure("setData, rate over Apache's", "x", faster("setData"), 5, at_least=True),
        figure("setData, Apache's CPU over ours", "x", cheaper("setData"), 8, at_least=True),
        figure("getData, rate over Apache's", "x", faster("getData"), 6, at_least=True),
        figure("getData, Apache's CPU over ours", "x", cheaper("getData"), 8, at_least=True),
        figure("getData 1 in flight x 64, rate over", "x", faster("getData, 1 in flight x 64"), 2, at_least=True),
        figure("create, rate over Apache's", "x", faster("create"), 5, at_least=True),
        figure(
            "setData 1 in flight, p50 over Apache's", "x",
            pairs("setData, 1 in flight", lambda run: run["write"]["p50_us"], "troupe", "apache"), 1,
        ),
        figure("read p99, half writes over none", "x", mixed("troupe"), 1.3),
        figure("  Apache's", "x", mixed("apache")),
        figure("p99.9 while a snapshot is written, over", "x", tail("troupe"), 1.5),
        figure("  Apache's", "x", tail("apache")),
        figure("memory of a znode", "B", [ours["znodes"]["rss"]], 190),
        figure("  Apache's, live on its heap", "B", [trees["apache"]["znodes"]["live"]]),
        figure("memory of a watch", "B", [ours["watches"]["rss"]], 16),
        figure("  Apache's, live on its heap", "B", [trees["apache"]["watches"]["live"]]),
        figure("memory of an idle session", "B", [ours["sessions"]["rss"]], 1024),
        figure("  Apache's, live on its heap", "B", [trees["apache"]["sessions"]["live"]]),
        figure("start from Apache's files to a session", "s", [ours["first_session"]], 0.5),
        figure("  Apache's", "s", [trees["apache"]["first_session"]]),
    ]  # fmt: skip
    return [figure for figure in found if figure["values"]]


def figure(name, unit, values, target=None, at_least=False):
    return {"name": name, "unit": unit, "values": values, "target": target, "at_least": at_least}


def show(size, ceilings, runs, counts):
    """The medians over pairs, case by case."""

    def median(values):
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else float("nan")

    print(f"{'case':<28}{'server':<9}{'rate/s':>10}{'p50 us':>10}{'p99 us':>10}{'p99.9 us':>10}{'CPU us':>9}")
    for case, by_name in runs.items():
        rows = {"ceiling": [ceilings[case]], **by_name}
        for name, found in rows.items():
            kind = "read" if found[0]["read"] else "write"
            latency = [median(run[kind][f"{point}_us"] for run in found) for point in ("p50", "p99", "p999")]
            cells = "".join(f"{value:>10.0f}" for value in [median(run["rate"] for run in found), *latency])
            print(f"{case:<28}{name:<9}{cells}{median(run['server_cpu_us'] for run in found):>9.2f}")
    print(f"\n{'for each request':<28}{'server':<9}{'syscalls':>12}{'flushes':>12}  counted by")
    for name, cases in counts.items():
        for case, count in cases.items():
            if count["syscalls"] is None:
                print(f"{case:<28}{name:<9}{'':>24}  {count['by']}")
            else:
                print(f"{case:<28}{name:<9}{count['syscalls']:>12.4f}{count['flushes']:>12.4f}  {count['by']}")
    print(
        f"\nmedians of {size['pairs']} pairs; 16 connections x 64 in flight and 100 B where nothing else is said; "
        f"'ceiling' is the generator against a server that answers at once\n"
    )


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
