"""zkCli, Apache's own command line, by script: what it prints with our server is what it prints with Apache's."""

import re
import subprocess

from e2e.harness import paths
from e2e.harness.zookeepers import ZooKeeper, apache_lib

SCRIPT = paths.ROOT / "e2e" / "conformance" / "zkcli.txt"


def test_zkcli(tmp_path):
    """About 15 seconds, most of it Java's start."""
    lib = apache_lib()
    said, events = {}, {}
    for kind in ("apache", "troupe"):
        with ZooKeeper(kind, tmp_path / kind) as server:
            said[kind], events[kind] = answers(run(lib, server))
    assert list(said["apache"]) == list(range(len(commands()))), "zkCli took every line"
    differ = [
        f"{command}\n  Apache's: {said['apache'][at]}\n  ours:     {said['troupe'].get(at)}"
        for at, command in enumerate(commands())
        if said["apache"][at] != said["troupe"].get(at)
    ]
    assert not differ, "\n".join(differ)
    # What a client tells itself has no zxid and no order.
    for told_by_server in (True, False):
        apache, ours = (
            [line for line in events[kind] if (" zxid: -1" not in line) == told_by_server]
            for kind in ("apache", "troupe")
        )
        assert ours == apache if told_by_server else sorted(ours) == sorted(apache)
    assert len(events["apache"]) > 10, "watches fired"


def commands():
    lines = SCRIPT.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def run(lib, server):
    """All that zkCli said. It answers a word that it does not know with all that it knows, and the word: such words
    stand between the lines of the script."""
    script = []
    for at, command in enumerate(commands()):
        script += [command.replace("ADDRESS", server.address), f"MARK-{at}"]
    done = subprocess.run(
        [
            "java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
            "-cp", f"{lib}/*", "org.apache.zookeeper.ZooKeeperMain",
            "-waitforconnection", "-timeout", "30000", "-server", server.address,
        ],
        input="\n".join([*script, "quit", ""]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    return done.stdout.replace(server.address, "ADDRESS")


def answers(output):
    """What was said to each line, by its place in the script; and the events, which come when they come."""
    output = output.split("JLine support is disabled\n", 1)[1]
    for pattern, to in MASKS:
        output = re.sub(pattern, to, output, flags=re.MULTILINE)
    said, events, now = {}, [], []
    for line in output.splitlines():
        if mark := re.fullmatch(r"Command not found: Command not found MARK-(\d+)", line):
            # The order of what somebody proved to be is nobody's business.
            said[int(mark.group(1))] = sorted(now) if now[:1] == ["Auth scheme: User"] else now
            now = []
        elif line.startswith("WatchedEvent "):
            events.append(line)
        elif line not in ("", "WATCHER::") and not line.startswith(("ZooKeeper -server host:port ", "\t")):
            now.append(line)
    return said, events


MASKS = [
    # A member of ours that is alone begins an epoch with each start, Apache's stays in epoch 0.
    (r"((?:[cmp]Zxid =|zxid:) )0x1(?=[0-9a-f]{8}$)0*", r"\g<1>0x"),
    (r"(zxid: )(\d{10})$", lambda found: found[1] + str(int(found[2]) & 0xFFFFFFFF)),
    (r"^([cm]time = ).*", r"\1TIME"),
    (r"^(ephemeralOwner = )0x(?!0$).*", r"\1SESSION"),
]
