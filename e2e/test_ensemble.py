"""Ensembles of several members: they change, fail and lose disks under a client that writes all the while."""

import os
import pathlib
import shutil
import signal
import time

import pytest

from e2e.harness.declared import Ensemble, Load
from e2e.harness.lasting import kubectl, up  # noqa: F401
from e2e.harness.up import processes_of
from e2e.harness.wait import until


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


def started(pid):
    """When a process began, in ticks of 10 ms since the machine's start."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_rolling_restart_takes_the_leader_last(three):
    with Load(three) as load:
        load.goes_on()
        before, leader = three.pids(), three.leader()["id"]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        three.kubectl("annotate", "--overwrite", f"ens/{three.name}", f"kubectl.kubernetes.io/restartedAt={now}")
        until("three new processes", lambda: all(pid not in (None, before[id]) for id, pid in three.pids().items()), limit=120)
        three.settled(3)
        load.goes_on()
    # One may follow the other within a moment.
    began = {id: started(pid) for id, pid in three.pids().items()}
    assert max(began, key=began.get) == leader, f"they began at {began}, and member {leader} led"


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


def test_a_damaged_log_is_told_and_mended_from_the_others(three):
    with Load(three) as load:
        load.goes_on(300)
        victim, *others = sorted((m["pid"], m["id"]) for m in three.members())
        log = max((three.folder / str(victim[1]) / "data" / "version-2").glob("log.*"), key=lambda file: file.stat().st_size)
        stopped = [victim, *others]
        for pid, _ in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            with open(log, "r+b") as file:
                middle = len(file.read().rstrip(b"\0")) // 2
                file.seek(middle)
                flipped = bytes([file.read(1)[0] ^ 0xFF])
                file.seek(middle)
                file.write(flipped)
            os.kill(victim[0], signal.SIGKILL)
            told = three.told(f"member {victim[1]} mends its files", str(log), kind="Mending")
            assert told["reason"] == "FilesDamaged"
            assert three.condition("Available")["status"] == "False"
        finally:
            for pid, _ in others:
                os.kill(pid, signal.SIGCONT)
        three.settled(3)
        until("it is whole again", lambda: three.condition("Mending")["status"] == "False")
        load.goes_on()
    until("Events that tell it", lambda: {"Mending", "Mended"} <= set(three.events()))


def test_scaling_up_and_down_under_load_loses_nothing(kubectl, up):
    ensemble = Ensemble(kubectl, up.data_dir, "scaled", 1)
    with Load(ensemble) as load:
        for members in (3, 5, 3, 1):
            ensemble.scale(members)
            load.follow()
            load.goes_on()
    until("Events that tell it", lambda: {"MemberAdded", "MemberRemoved"} <= set(ensemble.events()))
    until("an Event for each that was added", lambda: told_of_each(ensemble))
    kubectl("delete", "ens", "scaled", "--timeout=60s")
    left = [c for c in processes_of(up.data_dir).values() if "/ensembles/default/scaled/" in c]
    assert not left, left


def told_of_each(ensemble):
    """Whether each member that was added has an Event of its own: none stands for others that say something else."""
    told = sorted(e["note"] for e in ensemble.news() if e["reason"] == "MemberAdded")
    return told == [f"member {id} was added and is filled from the others" for id in (2, 3, 4, 5)]


def test_two_of_five_without_their_data_are_filled_and_where_too_few_have_theirs_the_remedy_is_told(kubectl, up):
    ensemble = Ensemble(kubectl, up.data_dir, "five", 5)
    with Load(ensemble) as load:
        load.goes_on()
        lose_data(ensemble, 2)
        until("Events that tell it", lambda: ensemble.events().count("MemberRebuilt") == 2)
        ensemble.settled(5)
        load.goes_on()
    lost = lose_data(ensemble, 3)
    left = next(m["id"] for m in ensemble.members() if m["id"] not in lost)
    ensemble.told(f"the rest (member {left} and", "copy version-2 of the rest there")
    # What it says can be done.
    for id in lost:
        data = ensemble.folder / str(id) / "data"
        data.mkdir(exist_ok=True)
        shutil.copytree(ensemble.folder / str(left) / "data" / "version-2", data / "version-2")
    ensemble.settled(5)
    for member in ensemble.members():
        assert ensemble.children(member, "/load")
    kubectl("delete", "ens", "five", "--timeout=60s")


def lose_data(ensemble, count):
    """Kills so many members at once whose data is gone then, among them who leads; answers with their ids."""
    leader = ensemble.leader()["id"]
    victims = sorted(ensemble.members(), key=lambda m: m["id"] != leader)[:count]
    for victim in victims:
        os.kill(victim["pid"], signal.SIGSTOP)
        shutil.rmtree(ensemble.folder / str(victim["id"]) / "data" / "version-2")
    for victim in victims:
        os.kill(victim["pid"], signal.SIGKILL)
    return [victim["id"] for victim in victims]


def test_observers_follow_without_a_vote(kubectl, up):
    ensemble = Ensemble(kubectl, up.data_dir, "observed", 1, observers=1)
    with Load(ensemble) as load:
        load.goes_on()
        assert {m["id"]: m["state"] for m in ensemble.members()} == {1: "leader", 101: "observer"}
        assert ensemble.status()["replicas"] == 1
        observer = next(m for m in ensemble.members() if m["id"] == 101)
        assert ensemble.children(observer, "/load")
        ensemble.apply(observers=2)
        ensemble.settled(3)
        ensemble.apply(observers=None)
        ensemble.settled(1)
        load.follow()
        load.goes_on()
    kubectl("delete", "ens", "observed", "--timeout=60s")
