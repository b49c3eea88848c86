"""`troupe up manifests/quickstart` on an empty data folder: time to the API and to Ready, memory at rest, time until
a change behind Troupe's back is put back, time of the orderly end."""

import pathlib
import re
import tempfile
import time

from kazoo.client import KazooClient

from e2e.harness import paths
from e2e.harness.up import Up, processes_of, resident_kib
from e2e.harness.wait import until

# What runs below the data folder but is the user's: the tasks. They are not the control plane.
OURS = ("up", "member", "master", "agent", "holder")


def run(args):
    api, ready, memory, drift, end, parts = [], [], [], [], [], {}
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
                drift.append(put_back(up))
                began = time.monotonic()
                up.end()
                end.append(time.monotonic() - began)
    for part, values in sorted(parts.items()):
        print(f"  {part}: {', '.join(f'{v:.1f}' for v in values)} MiB")
    return [
        {"name": "up to API ready", "unit": "s", "values": api, "target": 1},
        {"name": "up to all Ready", "unit": "s", "values": ready, "target": 5},
        {"name": "control plane's memory at rest, Pss", "unit": "MiB", "values": memory, "target": 60},
        {"name": "znode changed behind its back until put back", "unit": "s", "values": drift, "target": 1},
        {"name": "SIGTERM to the end of everything", "unit": "s", "values": end, "target": 10},
    ], {}


def put_back(up):
    """Seconds from a change of the declared znode until it is as declared again."""
    endpoint = next(p for c in processes_of(up.data_dir).values() if " member " in c for p in [client_port(c)])
    client = KazooClient(hosts=endpoint)
    client.start(timeout=15)
    try:
        declared, _ = client.get("/app/config")
        began = time.monotonic()
        client.set("/app/config", b"tampered")
        until("the znode as declared", lambda: client.get("/app/config")[0] == declared, pause=0.001)
        return time.monotonic() - began
    finally:
        client.stop()
        client.close()


def client_port(command):
    """Where the member with this command line listens: its zoo.cfg says it."""
    config = pathlib.Path(command.split("--config ")[1].split()[0]).read_text()
    return "127.0.0.1:" + re.search(r"^clientPort=(\d+)", config, re.M).group(1)


def seconds(up, what):
    """The figure of the line that begins so."""
    for line in up.lines:
        if found := re.match(rf"{what} ([0-9.]+)s", line):
            return float(found.group(1))
    return None
