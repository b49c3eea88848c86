"""Members that are changed while they serve: what clients and operators see of ours is what they see of Apache's."""

import collections
import itertools
import pathlib
import re
import signal
import socket

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NewConfigNoQuorumError, ReconfigInProcessError

from e2e.harness import zkcli, zkwire
from e2e.harness.ensembles import SUPER, Ensemble
from e2e.harness.wait import until
from e2e.harness.zkwire import AUTH, RECONFIG, buf, i32, i64
from e2e.harness.zookeepers import ZooKeeper, apache_lib, free_port

KINDS = ("apache", "troupe")

# What zkCli is told at a follower, which is TWO; ONE leads, THREE is the other one. PORT is another one each time.
SCRIPT = """
config
config -c
config -s
reconfig -add server.4=127.0.0.1:PORT:PORT:observer;127.0.0.1:PORT
reconfig -remove THREE-ID
addauth digest super:test
getAcl /zookeeper/config
stat /zookeeper/config
reconfig -add server.4=127.0.0.1:PORT:PORT:observer;127.0.0.1:PORT
reconfig -s -add server.5=127.0.0.1:PORT:PORT:observer;PORT
config -s
reconfig -add server.4=127.0.0.1:PORT:PORT:participant;127.0.0.1:PORT
reconfig -remove 4,5
reconfig -remove 4,9
reconfig -remove TWO-ID,THREE-ID
reconfig -remove 1,2,3
reconfig -remove nonsense
reconfig -add nonsense
reconfig -add server.6=127.0.0.1:PORT:PORT
reconfig -add server.6=127.0.0.1:PORT;127.0.0.1:PORT
reconfig -add server.6=127.0.0.1:PORT:PORT:king;127.0.0.1:PORT
reconfig -add server.6=127.0.0.1:PORT:99999;127.0.0.1:PORT
reconfig -add server.x=127.0.0.1:PORT:PORT;127.0.0.1:PORT
reconfig -add server.6=127.0.0.1:7:7;127.0.0.1:PORT
reconfig -add server.6=10.1.1.1:7:8;127.0.0.1:PORT,server.7=10.1.1.1:7:9;127.0.0.1:PORT
reconfig -add TWO-LINE,server.6=127.0.0.1:PORT:PORT;127.0.0.1:PORT,server.7=127.0.0.1:PORT:PORT;127.0.0.1:PORT,server.8=127.0.0.1:PORT:PORT;127.0.0.1:PORT,server.9=127.0.0.1:PORT:PORT;127.0.0.1:PORT
reconfig -v 5 -add server.6=127.0.0.1:PORT:PORT:observer;127.0.0.1:PORT
reconfig -v 100000000 -add server.6=127.0.0.1:PORT:PORT:observer;127.0.0.1:PORT
reconfig -members ONE-LINE,TWO-LINE
config
reconfig -members ONE-LINE,TWO-LINE,THREE-LINE
reconfig -members ONE-LINE
reconfig -members nonsense
reconfig -members ONE-LINE,TWO-LINE,group.1=1:2
reconfig -members ONE-LINE,TWO-LINE,group.1=ONE-ID:TWO-ID
config
reconfig -add THREE-LINE
reconfig -remove TWO-ID
reconfig -members ONE-LINE,TWO-LINE,THREE-LINE,group.1=ONE-ID:TWO-ID,group.2=THREE-ID,weight.THREE-ID=3
reconfig -members ONE-LINE,TWO-LINE
reconfig -members ONE-LINE -add THREE-LINE
reconfig -file /nowhere
reconfig
reconfig -add TWO-LINE
addWatch /zookeeper/config
config -w
reconfig -add server.4=127.0.0.1:PORT:PORT:observer;127.0.0.1:PORT
delete /zookeeper/config
create /zookeeper/config/child x
setAcl /zookeeper/config world:anyone:r,auth::crwda
reconfig -remove 4
stat /zookeeper/config
"""


def test_zkcli_changes_members(tmp_path):
    """About 30 seconds, most of it Java's start."""
    apache_lib()
    script = SCRIPT.split("\n")[1:-1]
    said, events = {}, {}
    for kind in KINDS:
        with Ensemble(kind, tmp_path / kind) as ensemble:
            output = zkcli.run(made(script, ensemble), ensemble.followers()[0])
            said[kind], events[kind] = zkcli.answers(numbered(output), MASKS)
    assert list(said["apache"]) == list(range(len(script))), "zkCli took every line"
    differ = [
        f"{command}\n  Apache's: {said['apache'][at]}\n  ours:     {said['troupe'].get(at)}"
        for at, command in enumerate(script)
        if said["apache"][at] != said["troupe"].get(at)
    ]
    assert not differ, "\n".join(differ)
    # Apache's tells a persistent watch twice of one change of the members.
    assert events["troupe"] == [event for event, _ in itertools.groupby(events["apache"])]
    assert sum(len(lines) for lines in said["apache"].values()) > 100, "it said much"


def made(script, ensemble):
    """The script with what this ensemble's members are."""
    two, three = ensemble.followers()
    peers = {"ONE": ensemble.leader(), "TWO": two, "THREE": three}

    def put(found):
        name, what = found[0].split("-")
        return str(peers[name].myid) if what == "ID" else peers[name].line()

    script = [re.sub(r"(ONE|TWO|THREE)-(ID|LINE)", put, line) for line in script]
    # Each its own, as they are numbered; members do not listen at all of theirs.
    taken = {port for peer in peers.values() for port in re.findall(r"\d+", peer.line())}

    def port(_):
        while (port := str(free_port())) in taken:
            pass
        taken.add(port)
        return port

    return [re.sub("PORT", port, line) for line in script]


def numbered(text):
    """The text with ports, and members' versions, by the order in which they come; the ensembles are alike but for them.

    Each kind of number has its own order, for an event's zxid may come before an answer's ports or after them.
    """
    seen = collections.defaultdict(dict)

    def number(found):
        if found[2] == "0":
            return found[0]
        kind = seen[found[1]]
        return found[1] + kind.setdefault(found[2], f"#{len(kind)}")

    return re.sub(r"(127\.0\.0\.1:|0\.0\.0\.0:|version=|[cmp]Zxid = |zxid: )(?:0x)?([0-9a-f]+)", number, text)


MASKS = [
    (r"(127\.0\.0\.1:#\d+):\d+:\d+", r"\1:Q:E"),
    (r"(127\.0\.0\.1:#\d+):\d+", r"\1:E"),
    (r"^([cm]time = ).*", r"\1TIME"),
    (r"(127\.0\.0\.1:)\d+", r"\1PORT"),
]


def test_refusals(tmp_path):
    """What a change is refused for where members cannot be changed, or not yet, or not by just anybody."""
    apache_lib()
    told = {kind: refusals(kind, tmp_path / kind) for kind in KINDS}
    assert told["troupe"] == told["apache"]
    assert -123 in told["apache"]["disabled"] and told["apache"]["in progress"] == [0, -14]


def refusals(kind, folder):
    told = {}
    requests = [change(joining=line(4)), change(leaving="2", version=5), change(joining="nonsense"), change()]
    for enabled in ("true", "false"):
        with ZooKeeper(kind, folder / f"alone-{enabled}", {"reconfigEnabled": enabled}, [SUPER]) as server:
            told[f"alone, {enabled}"] = [errors(server, requests, who) for who in (None, "super:test")]
    with Ensemble(kind, folder / "disabled", more={"reconfigEnabled": "false"}) as ensemble:
        told["disabled"] = errors(ensemble.leader(), requests, None)
    with Ensemble(kind, folder / "enabled") as ensemble:
        told["by nobody"] = errors(ensemble.followers()[0], requests, None)
        told["in progress"] = in_progress(ensemble)
    return told


def errors(server, requests, who):
    with zkwire.Link(server) as link:
        link.open()
        if who:
            assert link.error(AUTH, i32(0) + buf("digest") + buf(who), xid=-4) == 0
        return [link.error(RECONFIG, request) for request in requests]


def in_progress(ensemble):
    """Two changes, and nobody who acknowledges the first before the second is there."""
    leader, followers = ensemble.leader(), ensemble.followers()
    with zkwire.Link(leader) as link:
        link.open()
        assert link.error(AUTH, i32(0) + buf("digest") + buf("super:test"), xid=-4) == 0
        for peer in followers:
            peer.process.send_signal(signal.SIGSTOP)
        try:
            for myid in (4, 5):
                link.xid += 1
                link.send(i32(link.xid) + i32(RECONFIG) + change(joining=line(myid)))
            until("both are on their way", lambda: int(leader.monitored()["outstanding_requests"]) >= 2)
        finally:
            for peer in followers:
                peer.process.send_signal(signal.SIGCONT)
        return [link.answer()[2] for _ in range(2)]


def change(joining=None, leaving=None, members=None, version=-1):
    """The record of a request for other members."""
    return buf(joining) + buf(leaving) + buf(members) + i64(version)


def line(myid):
    return f"server.{myid}=127.0.0.1:{free_port()}:{free_port()}:observer;127.0.0.1:{free_port()}"


def test_a_member_comes_votes_moves_and_goes(tmp_path):
    apache_lib()
    told = {kind: Story(kind, tmp_path / kind).lines() for kind in KINDS}
    assert told["troupe"] == told["apache"]


class Story:
    """What befalls a fourth member, and then the leader, as a client and an operator see it."""

    def __init__(self, kind, folder):
        self.told = []
        with Ensemble(kind, folder) as self.ensemble:
            self.client = self.client_of(self.ensemble.followers()[0])
            try:
                self.tell()
            finally:
                self.client.stop()
                self.client.close()

    def lines(self):
        """All that was noted, with ports and versions by the order in which they come."""
        text = numbered("\n".join(map(repr, self.told)))
        return re.sub(r"(127\.0\.0\.1:#\d+):\d+", r"\1:E", text).splitlines()

    def client_of(self, peer):
        client = KazooClient(peer.address, timeout=30, auth_data=[("digest", "super:test")])
        client.start(30)
        return client

    def tell(self):
        four = self.ensemble.make(4)
        four.start([*(peer.line() for peer in self.ensemble.peers.values() if peer is not four), four.line("observer")])
        # Nobody has named it yet.
        self.becomes(four, "follower")
        self.change(joining=four.line("observer"))
        self.becomes(four, "observer")
        self.change(joining=four.line("participant"))
        self.becomes(four, "follower")
        # One of four is missing, and then a second one.
        spare = self.ensemble.followers()[1]
        spare.kill()
        self.client.create("/three-of-four", b"")
        spare.start(())
        self.becomes(spare, "follower")
        before = four.port
        four.quorum, four.election, four.port = free_port(), free_port(), free_port()
        self.change(joining=four.line("participant"))
        self.becomes(four, "follower")
        until("the port before is closed", lambda: is_closed(before))
        self.note("config of the moved one", self.shown(four))
        self.change(joining=four.line("observer"))
        self.becomes(four, "observer")
        self.files(four)
        four.kill()
        four.start(())
        self.becomes(four, "observer")
        self.note("config of the one started again", self.shown(four))
        self.change(leaving="4")
        self.becomes(four, "follower")
        self.note("config of the one that left", self.shown(four))
        four.kill()
        four.start(())
        self.note("it ends by itself", four.process.wait(60) != 0)
        del self.ensemble.peers[4]
        self.leader_leaves()

    def leader_leaves(self):
        leader = self.ensemble.leader()
        try:
            self.client.reconfig(joining=None, leaving=str(leader.myid), new_members=None)
        except ConnectionLoss:
            # Apache's follower may hang up before it has answered.
            pass
        self.becomes(leader, "follower")
        until("another one leads", lambda: self.ensemble.leader() is not leader)
        self.client.retry(self.client.create, "/led-by-another", b"")
        self.note("config of the one that led", self.shown(leader))
        self.change(joining=leader.line())
        for peer in self.ensemble.peers.values():
            self.files(peer)

    def becomes(self, peer, mode):
        until(f"{peer.kind} {peer.myid} becomes {mode}", lambda: peer.mode() == mode, limit=60)
        self.note(peer.myid, mode)

    def change(self, **what):
        def asked():
            try:
                return self.client.retry(
                    self.client.reconfig, what.get("joining"), what.get("leaving"), None
                )
            except (NewConfigNoQuorumError, ReconfigInProcessError):
                # Whoever is to vote is on its way to the leader.
                return None

        data, stat = until(f"{what} is taken", asked)
        self.note(sorted(what), data.decode(), stat.version)

    def shown(self, peer):
        """The members that a peer shows, once it has what the client has."""
        client = self.client_of(peer)
        try:
            client.sync("/zookeeper/config")
            data, stat = client.get("/zookeeper/config")
            return data.decode(), stat.version
        finally:
            client.stop()
            client.close()

    def files(self, peer):
        """Its own file, and the members' file that this one names, once they are those that it shows."""
        shown, _ = self.shown(peer)
        version = shown.rsplit("version=", 1)[1]

        def named():
            return re.search(rf"^dynamicConfigFile=(.*\.{version})$", peer.config.read_text(), re.MULTILINE)

        lines = pathlib.Path(until(f"the file of {version} is named", named)[1]).read_text()
        text = peer.config.read_text()
        names = {name.name for name in peer.folder.glob("zoo.cfg*") if ".dynamic." not in name.name}
        self.note(sorted(text.replace(str(peer.folder), "").splitlines()), lines, names)

    def note(self, *what):
        self.told.append(what)


def is_closed(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
