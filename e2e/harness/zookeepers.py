"""One ZooKeeper server as a process, Apache's or ours, from the same zoo.cfg. Loopback only."""

import os
import pathlib
import shlex
import socket
import struct
import subprocess

import pytest

from . import paths, zkwire
from .wait import until

CONFIG = {
    "tickTime": "2000",
    "maxClientCnxns": "0",
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
    "extendedTypesEnabled": "true",
}

CONNECT = struct.pack(">iqiqi16s?", 0, 0, 30_000, 0, 16, bytes(16), False)


def apache_lib():
    """The folder of Apache's jars; without it the test is left out, loudly, and with CI=true fails."""
    lib = os.environ.get("ZOOKEEPER_LIB") or paths.WORK / "zookeeper" / "lib"
    if not pathlib.Path(lib, ".fetched").exists():
        why = "Apache ZooKeeper is not fetched (e2e/peers/zookeeper/fetch.sh; needs Java and Maven)"
        if os.environ.get("CI") == "true":
            pytest.fail(why + "; with CI=true nothing may be left out")
        pytest.skip(why)
    return lib


def command_of(kind, config, flags=()):
    """What starts a server of a kind, "apache" or another for ours. `flags` are for Apache's JVM."""
    if kind != "apache":
        return [str(paths.troupe()), "member", "--config", str(config)]
    return [
        "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *flags,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp", f"{apache_lib()}/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config),
    ]  # fmt: skip


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class ZooKeeper:
    """A server on a folder of its own; a context manager. `flags` are given as a JVM's, -D…; `under` is a command that
    runs another, such as strace's."""

    def __init__(self, kind, folder, config=None, flags=(), under=()):
        self.kind, self.folder = kind, pathlib.Path(folder)
        self.config = {**CONFIG, **(config or {})}
        self.flags, self.under = list(flags), list(under)
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        config = {"dataDir": self.folder / "data", "clientPort": self.port, "clientPortAddress": "127.0.0.1"}
        config.update(self.config)
        file = self.folder / "zoo.cfg"
        file.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        env = dict(os.environ, JVMFLAGS=" ".join(shlex.quote(flag) for flag in self.flags))
        command = [*self.under, *command_of(self.kind, file, self.flags)]
        with open(self.folder / "out.log", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        try:
            until(f"{self.kind} serves", self._serves, limit=120)
        except BaseException:
            self.stop()
            raise

    def stop(self, kill=False):
        if self.process is None or self.process.poll() is not None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.kind} did not end within 60 s of being told to") from None

    def words(self, word, timeout=60):
        """The answer to a four-letter word."""
        return zkwire.words(self, word, timeout)

    def _serves(self):
        if self.process.poll() is not None:
            log = (self.folder / "out.log").read_text(errors="replace")
            raise RuntimeError(f"{self.kind} ended with {self.process.returncode}:\n{log[-3000:]}")
        try:
            # A ruok may be answered by one that serves nobody yet, and Apache's never answers some of those who ask
            # while it starts.
            return "Mode: standalone" in self.words("srvr", timeout=2)
        except OSError:
            return False
