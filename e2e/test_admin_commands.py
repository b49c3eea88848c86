"""The admin server's commands: ours answers with the same status and the same fields as Apache's in the same run."""

import json
import urllib.error
import urllib.request

import pytest

from e2e.harness.zkwire import CREATE, EXISTS, Link, buf, create
from e2e.harness.zookeepers import ZooKeeper, apache_lib, free_port

COMMANDS = [
    "configuration", "config", "connections", "cons", "connection_stat_reset", "crst", "dump", "environment", "env", "envi",
    "get_trace_mask", "gtmk", "hash", "initial_configuration", "icfg", "is_read_only", "isro", "last_snapshot", "lsnp",
    "leader", "lead", "monitor", "mntr", "observer_connection_stat_reset", "orst", "ruok", "server_stats", "srvr",
    "set_trace_mask", "stmk", "set_trace_mask?traceMask=5", "stat_reset", "srst", "stats", "stat", "system_properties",
    "sysp", "voting_view", "watch_summary", "wchs", "watches", "wchc", "watches_by_path", "wchp", "zabstate", "nonsense",
    "snapshot?streaming=false", "RUOK",
]  # fmt: skip
# What depends on the platform, or on Java.
VALUES = {"environment", "env", "envi", "system_properties", "sysp"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    apache_lib()
    folder = tmp_path_factory.mktemp("servers")

    def server(kind):
        port = free_port()
        admin = {"admin.enableServer": "true", "admin.serverPort": port, "admin.serverAddress": "127.0.0.1"}
        server = ZooKeeper(kind, folder / kind, admin)
        server.admin = port
        return server

    with server("apache") as apache, server("troupe") as troupe:
        links = [Link(one) for one in (apache, troupe)]
        for link in links:
            link.open()
            link.ask(CREATE, create("/e", flags=1))
            link.ask(EXISTS, buf("/watched") + b"\1")
        yield apache, troupe
        for link in links:
            link.socket.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_command(servers, command):
    apache, troupe = (ask(server, command) for server in servers)
    assert troupe == apache


def ask(server, command):
    """Status, kind of content, and the fields with the kinds of their values."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.admin}/commands/{command}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, kind, body = answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code
    if kind != "application/json":
        return status, kind, body
    fields = json.loads(body)
    name = command.split("?")[0]
    if name in VALUES:
        return status, kind, {key: fields[key] for key in ("command", "error")}
    if name in ("monitor", "mntr"):
        fields = {key: 0 for key in fields if key != "writes_stopped_disk_full"}
    return status, kind, shape(fields)


def shape(value, key=""):
    """Kinds in the place of values, but for words that mean something."""
    if isinstance(value, dict):
        # Keys that are sessions, expiry times or paths of this very server.
        return {("N" if name[:1].isdigit() or name[:2] == "0x" else name): shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    if isinstance(value, (bool, type(None))) or key in ("command", "error", "server_state", "clientPortAddress"):
        return value
    if isinstance(value, (int, float)):
        return "number"
    return "text"
