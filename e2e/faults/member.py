"""One member as a process on a host of the switched network: ours or Apache's, over the same folder."""

import os
import pathlib
import signal
import subprocess

from e2e.faults.network import run
from e2e.harness import zkwire
from e2e.harness.zookeepers import command_of

CONFIG = {
    "tickTime": 500,
    "initLimit": 20,
    "syncLimit": 6,
    "maxSessionTimeout": 120_000,
    "maxClientCnxns": 0,
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
    # Small files, so that logs roll and disks fill while one looks on.
    "preAllocSize": 64,
    "snapCount": 5000,
}
KINDS = ("troupe", "apache")


class Member:
    """`host` and `port` are where clients find it."""

    port = 2181

    def __init__(self, number, network, folder, kind, disk=None):
        """`disk`: the bytes of a disk of its own, else it is on the machine's."""
        self.number, self.network, self.kind = number, network, kind
        self.host = network.address
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.disk = disk
        if disk:
            run("mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(self.folder))
        self.data = self.folder / "data"
        self.data.mkdir()
        (self.data / "myid").write_text(f"{number}\n")
        self.log = self.folder.parent / f"member-{number}.log"
        self.process = None
        self.servers = {}
        self.settings = self.folder.parent / f"zoo-{number}.cfg"

    def start(self, injected=None):
        """`injected`: an error that strace puts in the place of a system call's answer, as it writes it."""
        config = {**CONFIG, "dataDir": self.data, "clientPort": self.port, **self.servers}
        self.settings.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        flags = [f"-Dzookeeper.{key}={CONFIG[key]}" for key in ("preAllocSize", "snapCount")]
        command = command_of(self.kind, self.settings, flags)
        if injected:
            command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fdatasync", "-e", f"inject={injected}", "-o", "/dev/null", *command]
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.network.inside(*command), stdout=out, stderr=out, start_new_session=True)

    def kill(self):
        """As a crash of the process would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"member {self.number} did not end within 60 s of being told to") from None

    def freeze(self, yes):
        os.killpg(self.process.pid, signal.SIGSTOP if yes else signal.SIGCONT)

    def swap(self):
        """Ends it; the next start is of the other kind."""
        self.terminate()
        self.kind = KINDS[1 - KINDS.index(self.kind)]

    def fill(self):
        """Leaves no byte on its disk."""
        with open(self.folder / "ballast", "ab", buffering=0) as ballast:
            for size in (1 << 16, 1):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    pass

    def empty(self):
        (self.folder / "ballast").unlink(missing_ok=True)

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def words(self, word):
        """The answer to a four-letter word; "" for none."""
        try:
            return zkwire.words(self, word, timeout=2)
        except OSError:
            return ""

    def leads(self):
        return "Mode: leader" in self.words("srvr")

    def serves(self):
        return "Mode: leader" in (said := self.words("srvr")) or "Mode: follower" in said

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.freeze(False)
            self.kill()
        if self.disk:
            run("umount", "-l", str(self.folder))
