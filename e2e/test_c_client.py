"""ZooKeeper's C client as Debian ships it: a program of ours on it, and its own sample program by script.

What each prints with our server is what it prints with Apache's.
"""

import os
import re
import subprocess

import pytest

from e2e.harness import paths
from e2e.harness.zookeepers import ZooKeeper, apache_lib

FOLDER = paths.WORK / "cclient"
SOURCE = paths.ROOT / "e2e" / "conformance" / "cclient.c"

# The sample's own words. The last line's output is what the end is told by.
SAMPLE = """\
create /a
create /a
set /a one
get /a
ls /
ls2 /
create +e /e
create +s /s
create +c /c
create2 +t=60000 /t
create2 +s /a/s
exists /a
exists /none
get /none
set /none x
sync /a
wget /a
wexists /b
create /b
set /a two
delete /a
delete /a/s0000000000
delete /a
config
addauth digest user:password
reconfig -remove 3
create /last
"""


@pytest.fixture(scope="module")
def library():
    apache_lib()
    found = sorted(FOLDER.glob("usr/lib/*/libzookeeper_mt.so"))
    if not found:
        why = "the C client is not fetched (e2e/peers/cclient/fetch.sh; needs apt)"
        if os.environ.get("CI") == "true":
            pytest.fail(why + "; with CI=true nothing may be left out")
        pytest.skip(why)
    return found[0].parent


@pytest.fixture(scope="module")
def servers(tmp_path_factory, library):
    folder = tmp_path_factory.mktemp("servers")
    with ZooKeeper("apache", folder / "apache") as apache, ZooKeeper("troupe", folder / "troupe") as troupe:
        yield apache, troupe


def test_program(servers, library, tmp_path):
    """About 5 seconds with the start of Apache's server."""
    program = tmp_path / "cclient"
    subprocess.run(
        [
            "cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-DTHREADED", f"-I{FOLDER}/usr/include",
            "-o", program, SOURCE, f"-L{library}", f"-Wl,-rpath,{library}", "-lzookeeper_mt", "-lpthread",
        ],
        check=True,
    )  # fmt: skip
    outputs = []
    for server in servers:
        done = subprocess.run(
            [program, server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300
        )
        assert done.returncode == 0, f"{server.kind}: {done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    apache, troupe = outputs
    assert troupe == apache
    assert "same session: 1\n/held: ok" in troupe


def test_sample(servers, library):
    apache, troupe = (sample(server, library) for server in servers)
    assert troupe == apache
    assert sum(": rc = 0" in line for line in troupe) > 10, troupe


def sample(server, library):
    """The lines that it printed, sorted: what it begins and what comes of it are printed side by side."""
    process = subprocess.Popen(
        # Into a pipe it would say nothing before it ends.
        ["stdbuf", "-oL", FOLDER / "usr/lib/zookeeper/bin/cli_mt", "-h", server.address],
        env=dict(os.environ, LD_LIBRARY_PATH=str(library)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            # It takes no words before it has a session.
            if line.startswith("Got a new session id"):
                process.stdin.write(SAMPLE)
                process.stdin.flush()
            if line == "\tname = /last\n":
                process.stdin.write("quit\n")
                process.stdin.flush()
                break
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    lines = [mask(line) for line in [*lines, *rest.splitlines()]]
    return sorted(line for line in lines if line)


def mask(line):
    for pattern, to in [
        (r"\b([cm]time ?= ?).*", r"\1TIME"),
        (r"(time = )\d+ msec", r"\1TIME"),
        # A member of ours that is alone begins an epoch with each start.
        (r"\b([cm]zxid=)1?0*", r"\1"),
        (r"(session id: )\S+", r"\1ID"),
        (r"(ephemeralOwner = )[1-9a-f]\S*", r"\1SESSION"),
        (r"\b([pcm]zxid ?= ?)(0x)?1?0*", r"\1"),
    ]:
        line = re.sub(pattern, to, line)
    return line
