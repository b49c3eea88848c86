"""Ensembles of several members: they change, fail and lose disks under a client that writes all the while."""

import os
import pathlib
import shutil
import signal
import threading
import time

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NodeExistsError, SessionExpiredError

from e2e.conftest import need
from e2e.harness.kubectl import Kubectl
from e2e.harness.up import Up, processes_of
from e2e.harness.wait import until

MANIFEST = """
apiVersion: troupe.dev/v1alpha1
kind: Ensemble
metadata: {{name: {name}, namespace: default}}
spec:
  members: {members}
  timing: {{maxSessionTimeout: 60s}}
"""


class Load:
    """A client that makes numbered znodes one after the other and remembers which were acknowledged."""

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.acknowledged = []
        self.states = []
        self.ended = threading.Event()
        self.client = KazooClient(hosts=ensemble.connect_string(), timeout=60)
        self.client.add_listener(self.states.append)

    def __enter__(self):
        self.client.start(timeout=30)
        self.session = self.client.client_id[0]
        self.client.ensure_path("/load")
        self.client.create("/mine", ephemeral=True)
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join(90)
        try:
            if kind is None:
                self._check()
        finally:
            self.client.stop()
            self.client.close()

    def _write(self):
        number = 0
        while not self.ended.is_set():
            path = f"/load/{number:06}"
            try:
                self.client.create(path, str(number).encode())
                assert self.client.get(path)[0] == str(number).encode()
            except NodeExistsError:
                pass  # The answer to the attempt before got lost.
            except SessionExpiredError:
                return
            except (KazooException, OSError):
                # Slower than the library tries again by itself.
                time.sleep(0.02)
                continue
            self.acknowledged.append(number)
            number += 1

    def goes_on(self, count=20):
        """Waits until so many more writes were acknowledged."""
        goal = len(self.acknowledged) + count
        until(f"{count} more writes", lambda: len(self.acknowledged) >= goal, limit=90)

    def follow(self):
        """Takes the addresses that the Ensemble tells of now."""
        self.client.set_hosts(self.ensemble.connect_string())

    def _check(self):
        assert not self.thread.is_alive(), "the writer hangs"
        assert KazooState.LOST not in self.states, self.states
        assert self.client.client_id[0] == self.session
        assert self.client.exists("/mine").ephemeralOwner == self.session
        for member in self.ensemble.members():
            wanted = {f"{number:06}" for number in self.acknowledged}
            missing = wanted - self.ensemble.children(member, "/load")
            assert not missing, f"member {member['id']} lost {sorted(missing)[:5]} of {len(wanted)}"


class Ensemble:
    """One Ensemble object, and its members as processes."""

    def __init__(self, kubectl, data_dir, name, members):
        self.kubectl = kubectl
        self.name = name
        self.folder = pathlib.Path(data_dir) / "ensembles" / "default" / name
        kubectl("apply", "-f", "-", stdin=MANIFEST.format(name=name, members=members))
        self.settled(members)

    def status(self):
        return self.kubectl.json("get", "ens", self.name).get("status", {})

    def members(self):
        return self.status().get("members", [])

    def connect_string(self):
        return self.status()["connectString"]

    def leader(self):
        status = self.status()
        return next((m for m in status["members"] if m["id"] == status.get("leader")), None)

    def condition(self, kind):
        found = [c for c in self.status().get("conditions", []) if c["type"] == kind]
        return found[0] if found else None

    def events(self):
        items = self.kubectl.json("get", "events", "--field-selector", f"involvedObject.name={self.name}")["items"]
        return [event["reason"] for event in items]

    def settled(self, members, limit=120):
        """Waits until it is Ready with exactly so many members, of which one leads."""

        def probe():
            object = self.kubectl.json("get", "ens", self.name)
            status = object.get("status", {})
            states = [m["state"] for m in status.get("members", [])]
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
            seen = status.get("observedGeneration") == object["metadata"]["generation"]
            leads = states.count("leader") + states.count("standalone") == 1
            assert ready and seen and leads and len(states) == members, f"{states} {status.get('conditions')}"
            return states

        return until(f"{members} members", probe, limit=limit, pause=0.1)

    def scale(self, members):
        self.kubectl("scale", f"ens/{self.name}", f"--replicas={members}")
        self.settled(members)

    def pids(self):
        return {m["id"]: m.get("pid") for m in self.members()}

    def children(self, member, path):
        """What one member has below a path, as new as the leader has it."""
        client = KazooClient(hosts=member["endpoint"], timeout=30)
        client.start(timeout=30)
        try:
            client.sync(path)
            return set(client.get_children(path))
        finally:
            client.stop()
            client.close()


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    need("kubectl")
    data_dir = tmp_path_factory.mktemp("ensembles") / "troupe"
    with Up(data_dir) as running:
        yield running
    left = processes_of(data_dir)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="module")
def kubectl(up):
    return Kubectl(up.kubeconfig)


@pytest.fixture(scope="module")
def three(kubectl, up):
    """An Ensemble of three that the tests leave as they found it."""
    return Ensemble(kubectl, up.data_dir, "three", 3)


def test_three_members_tell_their_roles(three):
    status = three.status()
    assert sorted(m["state"] for m in status["members"]) == ["follower", "follower", "leader"]
    assert len(status["connectString"].split(",")) == 3
    assert status["summary"] == "3/3"
    assert all(m["epoch"] == status["epoch"] or m["lag"] == 0 for m in status["members"])
    for kind, wanted in (("Available", "True"), ("Progressing", "False"), ("Degraded", "False")):
        assert three.condition(kind)["status"] == wanted


def test_a_killed_leader_is_followed_by_another_and_comes_back(three):
    with Load(three) as load:
        load.goes_on()
        leader = three.leader()
        os.kill(leader["pid"], signal.SIGKILL)
        load.goes_on()
        until("the killed member's new process", lambda: three.pids()[leader["id"]] not in (None, leader["pid"]))
        three.settled(3)
        load.goes_on()
    until("an Event that tells it", lambda: "Restarted" in three.events())


def test_a_rolling_restart_takes_the_leader_last(three):
    with Load(three) as load:
        load.goes_on()
        before, leader = three.pids(), three.leader()["id"]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        three.kubectl("annotate", "--overwrite", f"ens/{three.name}", f"kubectl.kubernetes.io/restartedAt={now}")
        order = []

        def restarted():
            for id, pid in three.pids().items():
                if pid not in (None, before[id]) and id not in order:
                    order.append(id)
            return len(order) == 3

        until("three new processes", restarted, limit=120)
        three.settled(3)
        load.goes_on()
    assert order[-1] == leader, f"{order}, and member {leader} led"


def test_a_member_without_its_data_is_filled_from_the_others(three):
    with Load(three) as load:
        load.goes_on()
        victim = next(m for m in three.members() if m["state"] == "follower")
        os.kill(victim["pid"], signal.SIGSTOP)
        shutil.rmtree(three.folder / str(victim["id"]) / "data")
        os.kill(victim["pid"], signal.SIGKILL)
        load.goes_on()
        until("an Event that tells it", lambda: "MemberRebuilt" in three.events())
        three.settled(3)
        load.goes_on()


def test_a_lost_quorum_is_told_with_the_remedy_and_heals(three):
    pids = [m["pid"] for m in three.members()][:2]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:

        def told():
            available = three.condition("Available")
            assert available["status"] == "False" and available["reason"] == "NoQuorum", available
            for pid in pids:
                assert f"kill -CONT {pid}" in available["message"], available
            return True

        until("the lost quorum is told", told)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    three.settled(3)
    until("Events that tell it", lambda: {"QuorumLost", "QuorumRegained"} <= set(three.events()))
    with Load(three) as load:
        load.goes_on()


def test_scaling_up_and_down_under_load_loses_nothing(kubectl, up):
    ensemble = Ensemble(kubectl, up.data_dir, "scaled", 1)
    with Load(ensemble) as load:
        for members in (3, 5, 3, 1):
            ensemble.scale(members)
            load.follow()
            load.goes_on()
    until("Events that tell it", lambda: {"MemberAdded", "MemberRemoved"} <= set(ensemble.events()))
    kubectl("delete", "ens", "scaled", "--timeout=60s")
    left = [c for c in processes_of(up.data_dir).values() if "/ensembles/default/scaled/" in c]
    assert not left, left
