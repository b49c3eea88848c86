"""A flush that fails: the member says which file, ends with 1, and has acknowledged nothing that is not there afterwards."""

import os
import shutil

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from e2e.harness.zookeepers import ZooKeeper


@pytest.mark.parametrize("nth", [1, 2, 20])
def test_the_member_ends_and_names_the_file(nth, tmp_path):
    """`nth`: which flush of the thread that flushes."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("wants strace; with CI=true nothing may be left out")
        pytest.skip("wants strace (apt-get install strace)")
    fail = ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={nth}"]
    server = ZooKeeper("troupe", tmp_path, under=["strace", "-f", "-qq", *fail, "-o", "/dev/null"])
    acknowledged = []
    try:
        server.start()
        client = KazooClient(server.address, timeout=60)
        client.start(60)
        try:
            while True:
                path = f"/n{len(acknowledged)}"
                client.create(path, path.encode())
                acknowledged.append(path)
        except KazooException:
            pass
        finally:
            client.stop()
            client.close()
    except RuntimeError:
        assert nth < 20, "it serves by then"
    # As strace ends.
    assert server.process.wait(60) == 1
    last = (tmp_path / "out.log").read_text().strip().splitlines()[-1]
    assert last.startswith("troupe: "), last
    assert str(tmp_path / "data" / "version-2") in last and "Input/output error (os error 5)" in last, last

    server.under = []
    with server:
        client = KazooClient(server.address)
        client.start(60)
        for path in acknowledged:
            assert client.get(path)[0] == path.encode()
        client.create("/on", b"")
        client.stop()
        client.close()
