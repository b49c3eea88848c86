"""Several ZooKeeper servers as one ensemble, all Apache's or all ours, whose members may be changed. Loopback only."""

import os
import pathlib
import re
import shlex
import subprocess

from . import zkwire
from .wait import until
from .zookeepers import command_of, free_port

# Whoever says `addauth digest super:test` may do everything.
SUPER = "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="

CONFIG = {
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
    "reconfigEnabled": "true",
}


class Peer:
    """A member: its ports, and its process when it runs. Its files are written once; the members change them then.
    Members meet it `at` a name or address, clients at another. `under` is a command that runs another."""

    def __init__(self, kind, folder, myid, at="127.0.0.1", clients_at="127.0.0.1"):
        self.kind, self.folder, self.myid = kind, pathlib.Path(folder), myid
        self.at, self.clients_at, self.under = at, clients_at, ()
        self.quorum, self.election, self.port = free_port(), free_port(), free_port()
        self.process = None

    @property
    def address(self):
        return f"{self.clients_at}:{self.port}"

    @property
    def host(self):
        return self.clients_at.strip("[]")

    def server(self, role="participant"):
        """What its line server.N says."""
        return f"{self.at}:{self.quorum}:{self.election}:{role};{self.address}"

    def line(self, role="participant"):
        return f"server.{self.myid}={self.server(role)}"

    @property
    def config(self):
        return self.folder / "zoo.cfg"

    def start(self, lines, more=None):
        """Starts it; at first with these lines of members in its file. It serves once enough of them run."""
        data = self.folder / "data"
        if not data.exists():
            data.mkdir(parents=True)
            (data / "myid").write_text(f"{self.myid}\n")
            config = {"dataDir": data, **CONFIG, **(more or {})}
            text = "".join(f"{key}={value}\n" for key, value in config.items())
            self.config.write_text(text + "".join(f"{line}\n" for line in lines))
        env = dict(os.environ, JVMFLAGS=shlex.quote(SUPER))
        with open(self.folder / "out.log", "ab") as out:
            command = [*self.under, *command_of(self.kind, self.config, [SUPER])]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env)

    def mode(self):
        """What it says it is; None while it serves nobody."""
        if self.process.poll() is not None:
            log = (self.folder / "out.log").read_text(errors="replace")
            raise RuntimeError(f"{self.kind} {self.myid} ended with {self.process.returncode}:\n{log[-3000:]}")
        try:
            found = re.search(r"^Mode: (\S+)", self.words("srvr", timeout=2), re.MULTILINE)
        except OSError:
            return None
        return found and found[1]

    def words(self, word, timeout=60):
        return zkwire.words(self, word, timeout)

    def monitored(self):
        """What `mntr` tells, by name without `zk_`."""
        return dict(line[3:].split("\t", 1) for line in self.words("mntr").splitlines() if "\t" in line)

    @property
    def runs(self):
        return self.process is not None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Ensemble:
    """Peers 1 to `size`, `observers` of them without a vote, and others that are made beside them; a context manager. `kind` is
    one for all, or one for each. The last voter leads at first: it needs only just as many as make a majority, all with
    lower ids, and the others come when it leads."""

    def __init__(self, kind, folder, size=3, more=None, observers=(), **at):
        self.kind, self.folder, self.more, self.at = kind, pathlib.Path(folder), more, at
        self.observers = observers
        self.peers = {}
        for myid in range(1, size + 1):
            self.make(myid)

    def __enter__(self):
        voters = [peer for myid, peer in self.peers.items() if myid not in self.observers]
        first = len(voters) // 2
        try:
            self.start(*voters[:first], voters[-1])
            until(f"{voters[-1].kind} {voters[-1].myid} serves", voters[-1].mode, limit=120)
            self.start(*voters[first:-1], *(self.peers[myid] for myid in self.observers))
            self.all_serve()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, *peers):
        roles = {myid: "observer" for myid in self.observers}
        lines = [peer.line(roles.get(myid, "participant")) for myid, peer in self.peers.items()]
        for peer in peers:
            role = {"peerType": "observer"} if peer.myid in self.observers else {}
            peer.start(lines, {**(self.more or {}), **role})

    def __exit__(self, *_):
        for peer in self.peers.values():
            peer.kill()

    def make(self, myid):
        """A peer that does not run yet."""
        kind = self.kind if isinstance(self.kind, str) else self.kind[myid - 1]
        self.peers[myid] = Peer(kind, self.folder / str(myid), myid, **self.at)
        return self.peers[myid]

    def all_serve(self):
        for peer in self.peers.values():
            until(f"{peer.kind} {peer.myid} serves", peer.mode, limit=120)

    def leader(self):
        """The one that leads, once one does."""

        def leads():
            return next((peer for peer in self.peers.values() if peer.runs and peer.mode() == "leader"), None)

        return until(f"one of {self.kind} leads", leads, limit=120)

    def followers(self):
        """All but the leader, in the order of their ids."""
        leader = self.leader()
        return [peer for peer in self.peers.values() if peer is not leader]
