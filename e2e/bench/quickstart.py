"""`troupe up manifests/quickstart` on an empty data folder: time to the API, time to Ready, memory at rest."""

import pathlib
import re
import tempfile
import time

from e2e.harness import paths
from e2e.harness.up import Up, processes_of, resident_kib
from e2e.harness.wait import until

# What runs below the data folder but is the user's: the tasks. They are not the control plane.
OURS = ("up", "member", "master", "agent", "holder")


def run(args):
    api, ready, memory, parts = [], [], [], {}
    for _ in range(args.runs or 5):
        with tempfile.TemporaryDirectory(prefix="troupe-bench-") as folder:
            with Up(pathlib.Path(folder) / "troupe", [paths.QUICKSTART]) as up:
                until("all Ready", lambda: seconds(up, r"all Ready after"), limit=120)
                api.append(seconds(up, r"API ready after"))
                ready.append(seconds(up, r"all Ready after"))
                # At rest: a few heartbeats later, when what starting took has been given back.
                time.sleep(10)
                total = 0
                for pid, command in processes_of(up.data_dir).items():
                    words = command.split()
                    part = next((word for word in words[1:2] if word in OURS), None)
                    if part:
                        kib = resident_kib(pid)
                        total += kib
                        parts.setdefault(part, []).append(kib / 1024)
                memory.append(total / 1024)
    for part, values in sorted(parts.items()):
        print(f"  {part}: {', '.join(f'{v:.1f}' for v in values)} MiB")
    return [
        {"name": "up to API ready", "unit": "s", "values": api, "target": 1},
        {"name": "up to all Ready", "unit": "s", "values": ready, "target": 5},
        {"name": "control plane's memory at rest, Pss", "unit": "MiB", "values": memory, "target": 60},
    ], {}


def seconds(up, what):
    """The figure of the line that begins so."""
    for line in up.lines:
        if found := re.match(rf"{what} ([0-9.]+)s", line):
            return float(found.group(1))
    return None
