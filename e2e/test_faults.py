"""Members in network namespaces of their own, killed, frozen, cut off, out of disk and with failing flushes, and the
histories of the clients that wrote all the while; and that the judges of these histories can find fault.

The whole, for as long as one likes: python -m e2e.faults --seconds 600 [--apache 1 --swap]
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import types

import pytest

from e2e.conftest import need
from e2e.faults import order
from e2e.faults.client import Did, Saw
from e2e.harness import paths
from e2e.harness.zookeepers import apache_lib

SECONDS = os.environ.get("FAULT_SECONDS", "40")


@pytest.mark.parametrize("options", [[], ["--apache", "1", "--swap"]], ids=["troupe", "with-apache"])
def test_histories_under_faults_are_in_order(options, tmp_path):
    """On a fresh seed, which is printed where it fails."""
    need("porcupine")
    for tool in ("strace", "ip", "nsenter"):
        if shutil.which(tool) is None or os.geteuid() != 0:
            if os.environ.get("CI") == "true":
                pytest.fail(f"wants root and {tool}; with CI=true nothing may be left out")
            pytest.skip(f"wants root and {tool} (apt-get install strace iproute2 util-linux)")
    if options:
        apache_lib()
    command = [sys.executable, "-m", "e2e.faults", "--seconds", SECONDS, "--keep", str(tmp_path / "kept"), *options]
    ran = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def judged(*operations):
    """What porcupine says of (call, return, steps, outcome)."""
    need("porcupine")
    lines = [
        json.dumps({"group": "g", "client": 0, "call": call, "return": ret, "steps": steps, "outcome": outcome})
        for call, ret, steps, outcome in operations
    ]
    return subprocess.run([paths.BIN / "porcupine"], input="\n".join(lines), capture_output=True, text=True).returncode


def step(kind, want=-1, value="", register=0):
    return [{"kind": kind, "register": register, "want": want, "value": value}]


def done(*versions):
    return {"done": True, "versions": list(versions)}


REFUSED = {"done": False, "versions": []}


def test_porcupine_takes_what_can_be_and_nothing_else():
    write = (1, 2, step("set", value="a"), done(1))
    lost = (3, 4, step("set", value="b"), None)
    assert judged(write, (3, 4, step("is", 1, "a"), done(-1))) == 0
    assert judged(write, lost, (5, 6, step("is", 2, "b"), done(-1))) == 0
    assert judged(write, lost, (5, 6, step("is", 1, "a"), done(-1)), (7, 8, step("is", 2, "b"), done(-1))) == 0
    assert judged(write, (3, 4, step("set", 0, "b"), REFUSED)) == 0
    assert judged((1, 2, step("check", 0) + step("set", value="a", register=1), done(-1, 1))) == 0
    # A read of what was never written, of what is over, and of what comes later.
    assert judged(write, (3, 4, step("is", 1, "x"), done(-1))) == 1
    assert judged(write, lost, (5, 6, step("is", 2, "b"), done(-1)), (7, 8, step("is", 1, "a"), done(-1))) == 1
    assert judged((3, 4, step("is", 1, "a"), done(-1)), (5, 6, step("set", value="a"), done(1))) == 1
    # An acknowledged write that is lost; one that is done twice; a refusal without a reason, and none where one is due.
    assert judged(write, (3, 4, step("set", value="b"), done(1))) == 1
    assert judged(write, (3, 4, step("set", value="b"), done(3))) == 1
    assert judged(write, (3, 4, step("set", 1, "b"), REFUSED)) == 1
    assert judged(write, (3, 4, step("check", 0) + step("set", value="a", register=1), done(-1, 1))) == 1
    # Half of a multi.
    half = step("set", value="b") + step("set", value="b", register=1)
    assert judged((1, 2, half, None), (3, 4, step("is", 1, "b"), done(-1)), (5, 6, step("is", 0, "", 1), done(-1))) == 1


def good():
    """Two clients' short history, and what is there at its end."""
    one = types.SimpleNamespace(
        number=1,
        did=[Did("g", 1, 10, step("set", value="a"), 20, done(1), 5), Did("g", 1, 50, step("set", value="c"), 60, done(3), 8)],
        saw=[Saw(10, 20, 5), Saw(30, 40, 6, "/g-0", 5, 1, "a", 5), Saw(50, 60, 8)],
        made=[["/made-1-0", 9, 70, 80]],
    )
    two = types.SimpleNamespace(
        number=2,
        did=[Did("g", 2, 42, step("set", value="b"), 48, done(2), 7)],
        saw=[Saw(25, 29, 5, "/g-0", 5, 1, "a", 0), Saw(42, 48, 7), Saw(61, 63, 8, "/g-0", 8, 3, "c", 0)],
        made=[],
    )
    return [one, two], {"/g-0": (8, 3, "c", 0), "/made-1-0": (9, 0, "", 0)}


def test_a_history_in_order_is_one():
    assert list(order.violations(*good())) == []


def broken(change):
    clients, found = copy.deepcopy(good())
    change(clients[0], clients[1], found)
    return list(order.violations(clients, found))


@pytest.mark.parametrize(
    "change",
    [
        lambda one, two, found: setattr(two.did[0], "zxid", 4),  # began later, came earlier
        lambda one, two, found: setattr(one.saw[1], "zxid", 4),  # a session that goes back
        lambda one, two, found: setattr(two.saw[2], "mzxid", 7),  # a stale read
        lambda one, two, found: setattr(two.saw[0], "mzxid", 6),  # a read of the future
        lambda one, two, found: setattr(two.saw[2], "value", "b"),  # another's value
        lambda one, two, found: setattr(two.saw[2], "watched", 5),  # a lost event
        lambda one, two, found: found.pop("/made-1-0"),
        lambda one, two, found: one.made.append(["/made-1-1", 9, 90, 95]),
        lambda one, two, found: found.update({"/g-0": (7, 2, "b", 0)}),
        lambda one, two, found: found.update({"/g-0": (8, 3, "b", 0)}),
    ],
)  # fmt: skip
def test_a_history_out_of_order_is_found(change):
    assert len(broken(change)) > 0
