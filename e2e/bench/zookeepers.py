"""The two ZooKeeper servers that are held side by side, and the load generator. Loopback only; nothing is left behind."""

import collections
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from e2e.harness import paths, zkwire
from e2e.harness.wait import until

NAMES = ("apache", "troupe")

# The same file for both. Apache is given what it needs to be quick: no throttling of what is in flight, a log
# folder of its own, and no admin server.
CONFIG = """\
tickTime=2000
dataDir={folder}/data
dataLogDir={folder}/log
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
maxSessionTimeout=1200000
globalOutstandingLimit=100000
4lw.commands.whitelist=srvr,mntr
admin.enableServer=false
snapCount={snap_count}
"""

CONNECT = struct.pack(">iqiqi16s?", 0, 0, 30_000, 0, 16, bytes(16), False)


def target_dir():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", paths.ROOT / "target"))


def prepare():
    """Fetches and builds what is missing. Returns the commands: how each server and the generator are started."""
    lib = os.environ.get("ZOOKEEPER_LIB") or output([paths.ROOT / "e2e/peers/zookeeper/fetch.sh"]).strip()
    cargo("-p", "loadgen")
    binary = pathlib.Path(os.environ.get("TROUPE_BIN", target_dir() / "release" / "troupe"))
    if binary.exists():
        troupe = [str(binary), "member", "--config"]
    else:
        cargo("-p", "ensemble", "--example", "member")
        troupe = [str(target_dir() / "release" / "examples" / "member")]
    # An open file for each session.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return {
        "apache": lambda heap: [
            "java", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", f"{lib}/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        ],  # fmt: skip
        "troupe": lambda heap: troupe,
    }


def cargo(*what):
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *what], cwd=paths.ROOT, check=True)


def output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


class Loaded:
    """What can be put under load: it has `ports`, `pids` and a `folder`."""

    def load(self, *arguments):
        """The figures of one run of the generator."""
        return json.loads(output(load_command(self.ports, self.pids, *arguments)).splitlines()[-1])

    @contextlib.contextmanager
    def held(self, *arguments):
        """As `load`, for the verbs that hold something: within the block it is held."""
        command = load_command(self.ports, self.pids, *arguments)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended with {process.wait()}")
            try:
                yield json.loads(line)
            finally:
                process.stdin.close()

    def load_counted(self, *arguments):
        """System calls and flushes for each request of one run; what cannot be counted here is None."""
        counters = ["raw_syscalls:sys_enter", "syscalls:sys_enter_fdatasync", "syscalls:sys_enter_fsync"]
        report = self.folder / "perf.txt"
        wrap = ["perf", "stat", "-x,", "-o", str(report), "-p", ",".join(map(str, self.pids))]
        for counter in counters:
            wrap += ["-e", counter]
        if shutil.which("perf"):
            text = output([*wrap, *load_command(self.ports, self.pids, *arguments)])
            counts = {line.split(",")[2]: line.split(",")[0] for line in report.read_text().splitlines() if "," in line}
            if all(counts.get(counter, "").isdigit() for counter in counters):
                ops = json.loads(text.splitlines()[-1])["ops_in_all"]
                calls, *flushes = (int(counts[counter]) for counter in counters)
                return {"syscalls": calls / ops, "flushes": sum(flushes) / ops, "by": "perf"}
        if shutil.which("strace"):
            return self._load_traced(report, *arguments)
        return {"syscalls": None, "flushes": None, "by": "neither perf nor strace is here"}

    def _load_traced(self, report, *arguments):
        trace = subprocess.Popen(
            ["strace", "-f", "-c", *(f"-p{pid}" for pid in self.pids), "-o", str(report)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            for _ in self.pids:
                trace.stderr.readline()  # It says so when it is attached.
            ops = self.load(*arguments)["ops_in_all"]
        finally:
            trace.send_signal(signal.SIGINT)
            trace.communicate()
        calls = {}
        for line in report.read_text().splitlines():
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit():
                calls[fields[-1]] = int(fields[3])
        total = calls.pop("total", 0)
        flushes = calls.get("fdatasync", 0) + calls.get("fsync", 0)
        return {"syscalls": total / ops, "flushes": flushes / ops, "by": "strace, which slows the server"}


class Server(Loaded):
    """One server on a folder; a context manager. `first_session` is the seconds from its start to a session."""

    def __init__(self, name, commands, folder, heap="2g", snap_count=100_000):
        self.name, self.folder = name, pathlib.Path(folder)
        self.command, self.snap_count = commands[name](heap), snap_count

    def __enter__(self):
        self.port = free_port()
        self.launch()
        self.serves()
        return self

    def launch(self, more=""):
        """Starts the process, with `more` lines in its configuration."""
        for part in ("data", "log"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        config.write_text(CONFIG.format(folder=self.folder, port=self.port, snap_count=self.snap_count) + more)
        self.out = self.folder / "out.log"
        self.began = time.monotonic()
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen([*self.command, str(config)], stdout=out, stderr=out)

    def serves(self):
        """Waits until it gives a session; answers with the seconds since its start."""
        try:
            self.first_session = self._wait_for_session(self.began)
        except BaseException:
            self.stop()
            raise
        return self.first_session

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Orderly, else by force; only this process."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _wait_for_session(self, began):
        """Asks for a session again and again: what asks while a server starts may never be answered."""
        asked = collections.deque()
        try:
            while time.monotonic() < began + 120:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
                with contextlib.suppress(OSError):
                    asked.append(socket.create_connection(("127.0.0.1", self.port), timeout=60))
                    asked[-1].sendall(struct.pack(">i", len(CONNECT)) + CONNECT)
                if len(asked) > 100:
                    asked.popleft().close()
                again = time.monotonic() + 0.01
                while (left := again - time.monotonic()) > 0:
                    if not asked:
                        time.sleep(left)
                    for link in select.select(list(asked), [], [], left)[0]:
                        with contextlib.suppress(OSError):
                            # An answer means that it serves: it gives none before its data are loaded.
                            if len(link.recv(64)) > 20:
                                return time.monotonic() - began
                        asked.remove(link)
                        link.close()
        finally:
            for link in asked:
                link.close()
        raise RuntimeError(f"{self.name} gave no session within 120 s:\n{self.tail()}")

    def tail(self):
        return "\n".join(self.out.read_text(errors="replace").splitlines()[-20:])

    @property
    def pid(self):
        return self.process.pid

    @property
    def ports(self):
        return [self.port]

    @property
    def pids(self):
        return [self.pid]

    def snapshots(self):
        return self.folder / "data" / "version-2"

    def node_count(self):
        return int(re.search(r"Node count: (\d+)", self.srvr()).group(1))

    def session_count(self):
        """Of the whole ensemble, as this one knows it."""
        return int(re.search(r"zk_global_sessions\s+(\d+)", zkwire.words(self, "mntr")).group(1))

    def cpu(self):
        """Seconds of CPU time since it was started."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def srvr(self, timeout=60):
        return zkwire.words(self, "srvr", timeout)

    def memory(self):
        """Bytes: resident, proportional, and for Java what is live on the heap, after a collection."""
        live = None
        if self.name == "apache":
            output(["jcmd", str(self.pid), "GC.run"])
            heap = output(["jcmd", str(self.pid), "GC.heap_info"])
            live = int(re.search(r"heap .* used (\d+)K", heap).group(1)) << 10
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        rss, pss = (int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1)) << 10 for field in ("Rss", "Pss"))
        return {"rss": rss, "pss": pss, "live": live}


class Disk:
    """What the disk does by itself meanwhile: small flushes in place with a pause of so many seconds; a context manager."""

    def __init__(self, folder, pause=0.005):
        self.path, self.pause = pathlib.Path(folder) / "flushes", pause
        self.times, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self.flush)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.path.unlink()

    def flush(self):
        block = b"x" * 600
        with open(self.path, "wb", buffering=0) as file:
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
            while not self.ended.wait(self.pause):
                begun = time.monotonic()
                os.pwrite(file.fileno(), block, len(self.times) * len(block) % (1 << 19))
                os.fdatasync(file.fileno())
                self.times.append((begun, time.monotonic()))

    def longest(self, begin, end):
        """The milliseconds of the longest flush that was on its way between two times of the monotonic clock."""
        until("a flush behind the time asked for", lambda: self.times and self.times[-1][0] >= end, 60, 0.002)
        return max((done - begun) * 1e3 for begun, done in self.times if done >= begin and begun <= end)


def flushes(folder, seconds=10):
    """Milliseconds that each of the disk's own flushes takes, in rising order, one after the other, with no server on it. What is
    longest among them a server's writes wait for, too."""
    with Disk(folder, pause=0) as disk:
        time.sleep(seconds)
    return sorted((done - begun) * 1e3 for begun, done in disk.times)


def load_command(ports, pids, verb, *arguments):
    loadgen = str(target_dir() / "release" / "loadgen")
    where = ["--addr", ",".join(f"127.0.0.1:{port}" for port in ports)]
    where += ["--pid", ",".join(map(str, pids))] if pids else []
    return [loadgen, *verb.split(), *where, *(str(argument) for argument in arguments)]


class Null(Loaded):
    """The generator's own server, which answers at once; a context manager."""

    def __enter__(self):
        loadgen = str(target_dir() / "release" / "loadgen")
        self.process = subprocess.Popen([loadgen, "null"], stdout=subprocess.PIPE, text=True)
        self.ports = [int(json.loads(self.process.stdout.readline())["addr"].rsplit(":", 1)[1])]
        self.pids = [self.process.pid]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def free_port():
    """A port that nobody listens on, below those that the system gives to whoever connects: those may be taken by the
    time a server asks for them."""
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
