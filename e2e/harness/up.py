"""A running `troupe up`."""

import os
import pathlib
import re
import signal
import subprocess
import threading

from . import paths
from .wait import until


class Up:
    """`troupe up` on a data folder of its own; a context manager that leaves nothing behind."""

    def __init__(self, data_dir, manifests=(), extra=(), env=None):
        self.data_dir = pathlib.Path(data_dir)
        self.manifests = [str(m) for m in manifests]
        self.extra = list(extra)
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.lines = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        """Starts it and waits until its API is ready."""
        self.lines = []
        self.log = open(self.data_dir.parent / f"{self.data_dir.name}.log", "ab")
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=self.env,
        )
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        until("the API of `troupe up`", lambda: self._ready_or_dead())
        return self

    def command(self):
        command = [str(paths.troupe()), "up", "--data-dir", str(self.data_dir), "--api-port", "0"]
        return command + self.extra + self.manifests

    def _read(self, process):
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    def _ready_or_dead(self):
        if self.process.poll() is not None:
            raise RuntimeError(
                f"troupe up ended with {self.process.returncode}:\n" + "\n".join(self.lines) + self.stderr()
            )
        return any("KUBECONFIG=" in line for line in self.lines)

    def stderr(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    @property
    def kubeconfig(self):
        return self.data_dir / "kubeconfig"

    def kill(self):
        """SIGKILL: what a crash looks like."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, limit=60):
        """SIGTERM, and waits for the orderly end; its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("troupe up did not end after SIGTERM:\n" + "\n".join(self.lines) + self.stderr())
        finally:
            self.log.close()
        self.reader.join()
        self.process = None
        return code


def processes_of(data_dir):
    """The pids of all processes whose command line names the data folder."""
    needle = str(data_dir).encode()
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if needle in command and int(entry.name) != os.getpid():
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def resident_kib(pid):
    """Resident memory of a process without what it shares with others (Pss), in KiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
