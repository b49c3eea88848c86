"""kazoo's own test suite, whole, with Troupe where it would start Java.

The suite comes with the kazoo that is installed. Its harness finds conformance/kazoo/bin/java first; what is excluded is
in conformance/kazoo/exclusions.txt with the reason. KAZOO_CLUSTER_SIZE=3 runs it against an ensemble, and KAZOO_KILL=seconds
one of whose members is killed and started again about so often.
"""

import os
import random
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from e2e.harness import paths

SUITE = paths.ROOT / "e2e" / "conformance" / "kazoo"
SIZE = os.environ.get("KAZOO_CLUSTER_SIZE", "1")
KILL = os.environ.get("KAZOO_KILL")
# At least so many of its tests must pass: a suite that is not found, or skips itself, is no success.
EXPECTED = 475 if KILL is None else 450
# Files of it that say much about members that go, and take little time, and how many of their tests must pass.
SHORT = ["test_barrier.py", "test_counter.py", "test_queue.py", "test_party.py", "test_lock.py"]
EXPECTED_SHORT = 45


def test_kazoo_suite(tmp_path):
    """About 4 minutes, of which the processors work for 20 seconds: the suite sleeps a lot."""
    run(tmp_path, ["kazoo.tests"], SIZE, EXPECTED, KILL)


@pytest.mark.skipif(SIZE != "1", reason="the whole suite is run so")
def test_kazoo_changes_members(tmp_path):
    """What it leaves out where there is one member."""
    run(tmp_path, ["kazoo.tests.test_client::TestReconfig"], "3", 3, None, {"KAZOO_SUITE_PART": "yes"})


@pytest.mark.skipif(KILL is not None, reason="the whole suite is run so")
def test_kazoo_while_members_are_killed(tmp_path):
    modules = [f"kazoo.tests.{name.removesuffix('.py')}" for name in SHORT]
    run(tmp_path, modules, "3", EXPECTED_SHORT, "4", {"KAZOO_SUITE_PART": "yes"})


def run(tmp_path, modules, size, expected, kill, more=None):
    """`kill`: seconds between two members' ends; None for none. The seed of it is printed with a failure."""
    report = tmp_path / "report.xml"
    seed = os.environ.get("KAZOO_KILL_SEED", str(random.randrange(1 << 32)))
    env = dict(
        os.environ,
        CI="true",
        PATH=f"{SUITE / 'bin'}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=str(SUITE),
        TMPDIR=str(tmp_path),
        TROUPE_BIN=str(paths.troupe()),
        ZOOKEEPER_CLUSTER_SIZE=size,
        ZOOKEEPER_PATH="/nowhere",
        ZOOKEEPER_PORT_OFFSET=str(free_block(int(size) * 10)),
        ZOOKEEPER_VERSION="3.9.4",
        **(more or {}),
    )
    if kill:
        env |= {"KAZOO_KILL": kill, "KAZOO_KILL_SEED": seed}
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "--pyargs", *modules, "-p", "plugin", "-p", "no:cacheprovider",
            "-q", "-rs", "--timeout=180", f"--rootdir={tmp_path}", f"--junit-xml={report}",
        ],
        cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    print(summary(done.stdout))
    assert done.returncode == 0, f"{summary(done.stdout)}\n{done.stdout[-20_000:]}"
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
    passed = int(suite.get("tests")) - int(suite.get("skipped"))
    if kill:
        kills = int(re.search(r"^KILLED (\d+) times", done.stdout, re.MULTILINE)[1])
        assert kills >= 3, f"members were killed {kills} times only"
    assert passed >= expected, f"only {passed} tests of kazoo's passed"
    # Everything that did not run is excluded by us and in the open; nothing skips itself.
    skipped = re.findall(r"^SKIPPED .*$", done.stdout, re.MULTILINE)
    itself = [line for line in skipped if "EXCLUDED: " not in line and "CUT: " not in line]
    assert not itself, f"kazoo's tests skip themselves: {itself}"


def summary(output):
    """The lines that tell what failed and what was left out."""
    lines = re.findall(r"^(?:FAILED|ERROR|SKIPPED|KILLED) .*$|^.*\b(?:passed|failed) in .*$", output, re.MULTILINE)
    return "\n".join(lines)


def free_block(size):
    """The first of `size` ports that were free a moment ago: the suite counts its ports on from one.

    They are below those that the system gives to whoever asks for any.
    """
    start = 10_000 + os.getpid() % 20_000
    for first in range(start, 32_000, size):
        if all(is_free(port) for port in range(first, first + size)):
            return first
    pytest.fail(f"no {size} ports in a row are free")


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
