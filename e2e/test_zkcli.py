"""zkCli, Apache's own command line, by script: what it prints with our server is what it prints with Apache's."""

from e2e.harness import paths, zkcli
from e2e.harness.zookeepers import ZooKeeper, apache_lib

SCRIPT = paths.ROOT / "e2e" / "conformance" / "zkcli.txt"


def test_zkcli(tmp_path):
    """About 15 seconds, most of it Java's start."""
    apache_lib()
    said, events = {}, {}
    for kind in ("apache", "troupe"):
        with ZooKeeper(kind, tmp_path / kind) as server:
            script = [command.replace("ADDRESS", server.address) for command in commands()]
            output = zkcli.run(script, server).replace(server.address, "ADDRESS")
            said[kind], events[kind] = zkcli.answers(output, MASKS)
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


MASKS = [
    # A member of ours that is alone begins an epoch with each start, Apache's stays in epoch 0.
    (r"((?:[cmp]Zxid =|zxid:) )0x1(?=[0-9a-f]{8}$)0*", r"\g<1>0x"),
    (r"(zxid: )(\d{10})$", lambda found: found[1] + str(int(found[2]) & 0xFFFFFFFF)),
    (r"^([cm]time = ).*", r"\1TIME"),
    (r"^(ephemeralOwner = )0x(?!0$).*", r"\1SESSION"),
]
