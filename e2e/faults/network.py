"""A network of this process's own: a switch, and a host with a cable for each member.

Everything is in namespaces that end with this process and its children; nothing of the machine's network is touched.
"""

import ctypes
import os
import subprocess
import sys

CLIENTS = "10.99.0.1"
_NEWNS, _NEWNET = 0x00020000, 0x40000000


def enter():
    """Moves this process, which has one thread, into network and mount namespaces of its own, with a switch."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS | _NEWNET) != 0:
        sys.exit(f"faults: no namespaces of its own: {os.strerror(ctypes.get_errno())}; run it as root")
    run("mount", "--make-rprivate", "/")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "switch", "type", "bridge")
    run("ip", "link", "set", "switch", "up")
    run("ip", "addr", "add", f"{CLIENTS}/24", "dev", "switch")


def run(*command):
    subprocess.run(command, check=True)


class Host:
    """A place for one member: an address and a cable. Its namespace lives as long as a process that only sleeps."""

    def __init__(self, number):
        self.address = f"10.99.0.{10 + number}"
        self.cable = f"cable{number}"
        self.keeper = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
        self.keeper.stdout.readline()
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.keeper.pid))
        run("ip", "link", "set", self.cable, "master", "switch", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def inside(self, *command):
        """The command that runs `command` there, as the same process."""
        return ["nsenter", "-t", str(self.keeper.pid), "-n", *command]

    def run(self, *command):
        run(*self.inside(*command))

    def lose(self, *addresses):
        """What it sends to these goes nowhere."""
        for address in addresses:
            self.run("ip", "route", "replace", "blackhole", f"{address}/32")

    def plug(self, into):
        run("ip", "link", "set", self.cable, "up" if into else "down")

    def heal(self):
        self.run("ip", "route", "flush", "type", "blackhole")
        self.plug(True)

    def end(self):
        self.keeper.kill()
        self.keeper.wait()
