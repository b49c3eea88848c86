"""Apache's members replaced by ours one after the other, and back, under load, with the history checked.

Once over the files of the one before and once without any. The leader comes last. Sessions write numbers, each on a znode
of its own, and read them back: `loadgen outage` tells how long nobody could write, and what was not as it was told.
"""

import pathlib
import tempfile

from e2e.bench.members import Ensemble, Writer, together
from e2e.bench.quorum import figure, say
from e2e.bench.zookeepers import prepare

SHORT = {"sessions": 20, "rate": 1000, "kept": [True], "settle": 0.5}
FULL = {"sessions": 50, "rate": 5000, "kept": [True, False], "settle": 3}


def run(args):
    size = SHORT if args.short else FULL
    commands = prepare()
    steps = []
    with tempfile.TemporaryDirectory(prefix="troupe-bench-", dir=args.folder) as folder:
        for keep in size["kept"]:
            part = pathlib.Path(folder) / ("kept" if keep else "fresh")
            part.mkdir()
            steps += there_and_back(commands, part, size, keep)
    kinds = {"files kept": [step for step in steps if step["kept"]], "without files": [step for step in steps if not step["kept"]]}
    made = []
    for kind, those in kinds.items():
        made.append(figure(f"{kind}, no writes in a step", "ms", [step["longest_ms"] for step in those], 1000))
        made.append(figure("  acknowledged writes", "", [step["writes"] for step in those]))
        made.append(figure("  lost, doubled or reordered", "", those and [sum(step["violations"] for step in those)], 0))
        made.append(figure("  sessions expired", "", those and [sum(step["expired"] for step in those)], 0))
    return [figure for figure in made if figure["values"]], {"size": size, "steps": steps}


def there_and_back(commands, folder, size, keep):
    """What was seen in each step, and at the end when every member was asked for what it has."""
    with Ensemble("apache", commands, folder, heap="256m", snap_count=20_000) as ensemble:
        ensemble.leader()
        ensemble.load("fill", "--nodes", 1000)
        ensemble.load("run set", "--seconds", 2, "--warmup", 0)
        more = ["--sessions", size["sessions"], "--rate", size["rate"]]
        with Writer(ensemble.ports, 30_000, *more) as writer:
            writer.seen(1)
            steps = []
            for name in ("troupe", "apache"):
                while others := [member for member in ensemble.members if member.name != name]:
                    leader = ensemble.leader()
                    # The leader comes last, but for a new one among those that were replaced.
                    member = next((member for member in others if member is not leader), others[0])
                    what = "the leader" if member is leader else "a follower"
                    ensemble.swap(member, name, keep)
                    ensemble.leader()
                    step = {"to": name, "what": what, "kept": keep, **writer.seen(size["settle"])}
                    say(f"{what} becomes {name}'s: {step['longest_ms']:.0f} ms without writes {step['words'] or ''}")
                    steps.append(step)
            last = together([writer.seen(size["settle"]), writer.ends()])
            steps.append({"to": "apache", "what": "the end", "kept": keep, **last})
    return steps
