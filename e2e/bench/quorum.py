"""One ZooKeeper server of Apache's and one of ours in turn, on one machine, under one generator.

Machines are noisy and shared: only ratios taken in one run count, and CPU time, flushes and system calls for each
request before rates. Every rate is to be read beside the generator's own ceiling, which is measured first.
"""

import contextlib
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from e2e.bench.zookeepers import NAMES, Null, Server, flushes, prepare

SHORT = {
    "pairs": 2, "seconds": 1, "warmup": 0.5, "znodes": 100_000, "watchers": 5, "sessions": 2_000,
    "snapshot_seconds": 5, "rate": 20_000, "snapshot_rate": 10_000, "heap": "2g", "starts": 1, "tails": 1,
}  # fmt: skip
FULL = {
    "pairs": 9, "seconds": 2, "warmup": 1, "znodes": 1_000_000, "watchers": 10, "sessions": 19_000,
    "snapshot_seconds": 20, "rate": 20_000, "snapshot_rate": 10_000, "heap": "6g", "starts": 3, "tails": 5,
}  # fmt: skip

# More than any server creates in all runs.
CREATABLE = 20_000_000

# Those of `run` with the load that each puts on. In this order: only the last makes the tree grow.
CASES = {
    "setData": ["run set"],
    "getData": ["run get"],
    "getData, 1 in flight x 64": ["run get", "--connections", 64, "--depth", 1],
    "setData, 1 in flight": ["run set", "--connections", 1, "--depth", 1],
    "paced reads": ["run get", "--rate", None],
    "paced, half writes": ["run mix", "--rate", None],
    "create": ["run create", "--nodes", CREATABLE],
}

# What is measured over a large tree, or over many of something.
PARTS = ("memory of znodes", "memory of watches", "memory of sessions", "start", "snapshots")


def run(args):
    size, cases, parts = chosen(args, SHORT, FULL, CASES, PARTS)
    commands = prepare()
    with tempfile.TemporaryDirectory(prefix="troupe-bench-", dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        disk = flushes(folder)
        ceilings = ceiling(cases, size)
        runs, counts = rates(cases, commands, folder, size) if cases else ({}, {})
        trees = {name: {} for name in NAMES}
        if any(part.startswith("memory") for part in parts):
            memory(parts, trees, commands, folder, size)
        if "start" in parts or "snapshots" in parts:
            start(parts, trees, commands, folder, size)
    details = {"size": size, "ceiling": ceilings, "runs": runs, "counts": counts, "trees": trees}
    if cases:
        show(size, ceilings, runs, counts)
    return figures(runs, trees) + of_disk(disk), details


def chosen(args, short, full, cases, parts):
    """The size of a bench, and which of its cases and parts are run."""
    size = dict(short if args.short else full)
    if args.runs:
        size["pairs"] = args.runs
    of = [case for case in cases if wanted(args, case)], [part for part in parts if wanted(args, part)]
    if not any(of):
        sys.exit(f"bench: --only {args.only} names none of: {', '.join((*cases, *parts))}")
    return size, *of


def wanted(args, name):
    return not args.only or any(word.strip().lower() in name.lower() for word in args.only.split(";"))


def arguments(case, size):
    return [size["rate"] if argument is None else argument for argument in CASES[case]]


def ceiling(cases, size):
    """What the generator reaches against a server that answers at once."""
    with Null() as null:
        return {case: null.load(*arguments(case, size), "--seconds", 1, "--warmup", 0.3) for case in cases}


def rates(cases, commands, folder, size):
    """The figures of each case, server and pair, and what each request cost in system calls. Both servers run all the
    time and are loaded in turn, so that what else the machine does is shared by the two of a pair."""
    runs = {case: {name: [] for name in NAMES} for case in cases}
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in NAMES:
            say(f"start and warm up: {name}")
            server = servers[name] = stack.enter_context(Server(name, commands, folder / name, heap="3g"))
            server.load("fill", "--nodes", CREATABLE, "--parents-only")
            server.load("run create", "--nodes", 1000, "--ops", 1000)
            server.created = 1000
            # A virtual machine compiles what is hot; that is paid once and is not what is compared.
            server.load("run set", "--seconds", 2, "--warmup", 0)
            server.load("run get", "--seconds", 1, "--warmup", 0)
            if "create" in cases:
                server.created += server.load("run create", "--first", 1000, "--nodes", 50_000, "--ops", 50_000)["ops_in_all"]
        for pair in range(size["pairs"]):
            say(f"pair {pair + 1} of {size['pairs']}")
            for case in cases:
                for name in NAMES if pair % 2 == 0 else NAMES[::-1]:
                    runs[case][name].append(one_run(servers[name], case, size))
        for name, server in servers.items():
            counts[name] = {
                case: server.load_counted(*arguments(case, size), "--ops", ops)
                for case, ops in COUNTED.items()
                if case in cases
            }
    for name in NAMES:
        shutil.rmtree(folder / name)
    return runs, counts


COUNTED = {"setData": 100_000, "getData": 300_000, "getData, 1 in flight x 64": 50_000, "setData, 1 in flight": 500}


def one_run(server, case, size):
    span = ["--seconds", size["seconds"], "--warmup", size["warmup"]]
    if case != "create":
        return server.load(*arguments(case, size), *span)
    # Each run makes others than those before it.
    found = server.load("run create", "--first", server.created, "--nodes", CREATABLE - server.created, *span)
    server.created += found["ops_in_all"]
    return found


def memory(parts, trees, commands, folder, size):
    """Bytes for each znode, watch and session."""
    for name in NAMES:
        found = trees[name]
        if "memory of znodes" in parts or "memory of watches" in parts:
            say(f"{size['znodes']} znodes: {name}")
            with Server(name, commands, folder / name, size["heap"], snap_count=10_000_000) as server:
                before = server.memory()
                server.load("fill", "--nodes", size["znodes"])
                found["znodes"] = each(before, server.memory(), size["znodes"])
                if "memory of watches" in parts:
                    watches = size["znodes"] * size["watchers"]
                    with server.held("watches", "--nodes", size["znodes"], "--connections", size["watchers"]):
                        # Against a server that has as many connections but no watches: the znodes are the same.
                        found["watches"] = each(found["znodes"]["after"], server.memory(), watches)
            shutil.rmtree(folder / name)
        if "memory of sessions" in parts:
            say(f"{size['sessions']} sessions: {name}")
            # On a server that has freed nothing yet: they would hide in what the znodes left.
            with Server(name, commands, folder / f"{name}-sessions", size["heap"]) as server:
                before = server.memory()
                with server.held("sessions", "--count", size["sessions"]) as opened:
                    found["sessions"] = each(before, server.memory(), size["sessions"])
                    found["sessions"]["opened_rate"] = opened["opened_rate"]


def start(parts, trees, commands, folder, size):
    """The start from Apache's own files, and the tail while snapshots are written."""
    say(f"{size['znodes']} znodes in Apache's files")
    with Server("apache", commands, folder / "apache", size["heap"], snap_count=10_000_000) as server:
        server.load("fill", "--nodes", size["znodes"])
    # It leaves a log of all the writes, of which it makes a snapshot of its own at each start, so it is started
    # once more.
    with Server("apache", commands, folder / "apache", size["heap"]):
        pass
    shutil.copytree(folder / "apache", folder / "troupe", ignore=shutil.ignore_patterns("*.log", "zoo.cfg"))
    for _ in range(size["starts"] if "start" in parts else 0):
        for name in NAMES:
            say(f"start with {size['znodes']} znodes from Apache's files: {name}")
            with Server(name, commands, folder / name, size["heap"], snap_count=10_000_000) as server:
                trees[name].setdefault("first_session", []).append(server.first_session)
                trees[name]["znodes_found"] = server.node_count()
                trees[name]["loaded"] = server.memory()
    # Two are due in each run.
    snap_count = size["snapshot_rate"] * size["snapshot_seconds"] // 2
    for _ in range(size["tails"] if "snapshots" in parts else 0):
        for name in NAMES:
            say(f"snapshots of {size['znodes']} znodes: {name}")
            with Server(name, commands, folder / name, size["heap"], snap_count) as server:
                span = ["--seconds", size["snapshot_seconds"], "--warmup", 3, "--rate", size["snapshot_rate"]]
                trees[name].setdefault("tail", []).append(
                    server.load("run set", *span, "--nodes", size["znodes"], "--snapshots-in", server.snapshots())
                )


def each(before, after, count):
    """Bytes for each of what was added."""
    kinds = [kind for kind in after if after[kind] is not None]
    return {"after": after, **{kind: (after[kind] - before[kind]) / count for kind in kinds}}


def figures(runs, trees):
    """The ratios that have a target, one value for each pair."""

    def pairs(case, pick, over="apache", under="troupe"):
        by_name = runs.get(case, {name: [] for name in NAMES})
        both = zip(by_name[over], by_name[under], strict=True)
        return [pick(a) / pick(b) for a, b in both if pick(a) and pick(b)]

    def faster(case):
        return pairs(case, lambda run: run["rate"], "troupe", "apache")

    def cheaper(case):
        return pairs(case, lambda run: run["server_cpu_us"])

    def mixed(name):
        if not {"paced, half writes", "paced reads"} <= runs.keys():
            return []
        both = zip(runs["paced, half writes"][name], runs["paced reads"][name], strict=True)
        return [mix["read"]["p99_us"] / pure["read"]["p99_us"] for mix, pure in both]

    def tail(name):
        both = [(run["during_snapshot"], run["between_snapshots"]) for run in trees[name].get("tail", [])]
        return [during["p999_us"] / between["p999_us"] for during, between in both if during and between]

    def bytes_of(name, what, kind):
        return [trees[name][what][kind]] if what in trees[name] else []

    found = [
        figure("setData, rate over Apache's", "x", faster("setData"), 5, at_least=True),
        figure("setData, Apache's CPU over ours", "x", cheaper("setData"), 8, at_least=True),
        figure("getData, rate over Apache's", "x", faster("getData"), 6, at_least=True),
        figure("getData, Apache's CPU over ours", "x", cheaper("getData"), 8, at_least=True),
        figure("getData 1 in flight x 64, rate over", "x", faster("getData, 1 in flight x 64"), 2, at_least=True),
        figure("create, rate over Apache's", "x", faster("create"), 5, at_least=True),
        figure("create, Apache's CPU over ours", "x", cheaper("create")),
        figure(
            "setData 1 in flight, p50 over Apache's", "x",
            pairs("setData, 1 in flight", lambda run: run["write"]["p50_us"], "troupe", "apache"), 1,
        ),
        figure("read p99, half writes over none", "x", mixed("troupe"), 1.3),
        figure("  Apache's", "x", mixed("apache")),
        figure("p99.9 while a snapshot is written, over", "x", tail("troupe"), 1.5),
        figure("  Apache's", "x", tail("apache")),
        figure("memory of a znode", "B", bytes_of("troupe", "znodes", "rss"), 190),
        figure("  Apache's, live on its heap", "B", bytes_of("apache", "znodes", "live")),
        figure("memory of a watch", "B", bytes_of("troupe", "watches", "rss"), 16),
        figure("  Apache's, live on its heap", "B", bytes_of("apache", "watches", "live")),
        figure("memory of an idle session", "B", bytes_of("troupe", "sessions", "rss"), 1024),
        figure("  Apache's, live on its heap", "B", bytes_of("apache", "sessions", "live")),
        figure("start from Apache's files to a session", "s", trees["troupe"].get("first_session", []), 0.5),
        figure("  Apache's", "s", trees["apache"].get("first_session", [])),
    ]  # fmt: skip
    return [figure for figure in found if figure["values"]]


def of_disk(times):
    """What the machine's disk does by itself, beside which all that waits for it is to be read."""
    return [
        figure("a flush of the disk itself, p50", "ms", [times[len(times) // 2]]),
        figure("  the longest in 10 s", "ms", times[-1:]),
    ]


def figure(name, unit, values, target=None, at_least=False):
    return {"name": name, "unit": unit, "values": values, "target": target, "at_least": at_least}


def show(size, ceilings, runs, counts):
    """The medians over pairs, case by case."""

    def median(values):
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else float("nan")

    print(f"{'case':<28}{'server':<9}{'rate/s':>10}{'p50 us':>10}{'p99 us':>10}{'p99.9 us':>10}{'CPU us':>9}{'its own':>9}")
    for case, by_name in runs.items():
        rows = {"ceiling": [ceilings[case]], **by_name}
        for name, found in rows.items():
            kind = "read" if found[0]["read"] else "write"
            latency = [median(run[kind][f"{point}_us"] for run in found) for point in ("p50", "p99", "p999")]
            cells = "".join(f"{value:>10.0f}" for value in [median(run["rate"] for run in found), *latency])
            cpu = [median(run[whose] for run in found) for whose in ("server_cpu_us", "generator_cpu_us")]
            print(f"{case:<28}{name:<9}{cells}{cpu[0]:>9.2f}{cpu[1]:>9.2f}")
    print(f"\n{'for each request':<28}{'server':<9}{'syscalls':>12}{'flushes':>12}  counted by")
    for name, cases in counts.items():
        for case, count in cases.items():
            if count["syscalls"] is None:
                print(f"{case:<28}{name:<9}{'':>24}  {count['by']}")
            else:
                print(f"{case:<28}{name:<9}{count['syscalls']:>12.4f}{count['flushes']:>12.4f}  {count['by']}")
    print(
        f"\nmedians of {size['pairs']} pairs; 16 connections x 64 in flight and 100 B where nothing else is said; "
        f"'ceiling' is the generator against a server that answers at once; 'its own' is the generator's CPU time\n"
    )


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
