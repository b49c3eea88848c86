"""A pytest plugin for kazoo's own suite: what is excluded with its reason, and members that are killed meanwhile.

Loaded with `-p` into a pytest of its own, beside kazoo's files, which are not changed. KAZOO_KILL=seconds kills a member
about so often with SIGKILL and starts it again, by the schedule of KAZOO_KILL_SEED, never two at a time.
"""

import fnmatch
import os
import pathlib
import random
import socket
import threading
import time

import OpenSSL
import pytest

from kazoo import exceptions
from kazoo.testing import common, harness

HERE = pathlib.Path(__file__).resolve().parent


def exclusions(alone, killing):
    """Test id, or pattern of such → reason, for a suite against one member, against an ensemble, or one whose members are killed."""
    found = {}
    for line in (HERE / "exclusions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            when, test, reason = (part.strip() for part in line.split("|", 2))
            assert when in ("always", "alone", "killed"), line
            if when == "always" or (alone and when == "alone") or (killing and when == "killed"):
                found[test] = reason
    return found


def pytest_collection_modifyitems(items):
    left = exclusions(os.environ["ZOOKEEPER_CLUSTER_SIZE"] == "1", KILLER is not None)
    met = set()
    for item in items:
        name = item.nodeid.rsplit("kazoo/tests/", 1)[-1]
        for pattern, reason in left.items():
            if fnmatch.fnmatchcase(name, pattern):
                item.add_marker(pytest.mark.skip(reason="EXCLUDED: " + reason))
                met.add(pattern)
    if not os.environ.get("KAZOO_SUITE_PART"):
        assert left.keys() == met, f"excluded, but not in the suite: {sorted(left.keys() - met)}"


class Killer:
    """Kills members of the suite's ensemble, as long as all of them serve."""

    def __init__(self, every, seed):
        self.every, self.seed = every, seed
        self.random = random.Random(seed)
        # When a member was killed, and when all served again.
        self.times = []
        self.end = threading.Event()
        self.lock = threading.RLock()
        for name in ("run", "stop", "reset", "destroy"):
            setattr(common.ManagedZooKeeper, name, self.alone(getattr(common.ManagedZooKeeper, name)))
        threading.Thread(target=self.work, daemon=True).start()

    def alone(self, function):
        """What tests do to members themselves waits until the killed one is started again."""

        def locked(*arguments):
            with self.lock:
                return function(*arguments)

        return locked

    def work(self):
        while not self.end.wait(self.every * self.random.uniform(0.5, 1.5)):
            with self.lock:
                members = list(harness.CLUSTER or ())
                if members and all(serves(member) for member in members):
                    self.kill(self.random.choice(members))
                    self.times[-1][1] = time.monotonic()

    def kill(self, member):
        self.times.append([time.monotonic(), float("inf")])
        member.process.kill()
        member.process.wait()
        member._running = False
        self.end.wait(self.random.uniform(0, 2))
        member.run()

    def was_at_work(self, since):
        return any(back + SETTLES > since for _, back in self.times)


def serves(member):
    """Whether the member runs and says that it serves."""
    if not member.running or member.process.poll() is not None:
        return False
    try:
        with socket.create_connection((member.host, member.client_port), timeout=5) as link:
            link.sendall(b"srvr")
            return b"Mode: " in b"".join(iter(lambda: link.recv(4096), b""))
    except OSError:
        return False


# Seconds after which nothing is felt any more of a member that was killed.
SETTLES = 10
KILLER = None
if seconds := os.environ.get("KAZOO_KILL"):
    KILLER = Killer(float(seconds), int(os.environ["KAZOO_KILL_SEED"]))
# What a call says that was on its way to a member when that was killed: the protocol promises no more.
CUT = exceptions.ConnectionLoss


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if KILLER and report.failed and call.excinfo.errisinstance(CUT) and KILLER.was_at_work(item.began):
        report.outcome = "skipped"
        place = (str(item.path), None, f"Skipped: CUT: {item.name}: {call.excinfo.exconly()}")
        report.longrepr = place


def pytest_runtest_setup(item):
    item.began = time.monotonic()


def pytest_terminal_summary(terminalreporter):
    if KILLER:
        KILLER.end.set()
        terminalreporter.write_line(f"KILLED {len(KILLER.times)} times by seed {KILLER.seed}")


class CertificateOfVersion3(OpenSSL.crypto.X509):
    """The suite makes its servers' and clients' certificates without naming a version, which makes them
    version 1. No maintained library but Java's takes those; these are of version 3."""

    def __init__(self):
        super().__init__()
        self.set_version(2)


OpenSSL.crypto.X509 = CertificateOfVersion3
