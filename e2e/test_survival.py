"""What outlives what."""

import os
import signal

from e2e import steps
from e2e.harness.tasks import tasks_of
from e2e.harness.up import processes_of


def identities(data_dir):
    return {task.id: (task.pid, task.started) for task in tasks_of(data_dir).values()}


def uids(kubectl):
    items = kubectl.json("get", "ens,zn,pool,ag,fw")["items"]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["uid"] for o in items}


def test_sigkill_and_a_new_start_keep_objects_and_tasks(up, kubectl):
    steps.quickstart_ready(kubectl)
    tasks, objects = identities(up.data_dir), uids(kubectl)
    framework = kubectl.json("get", "fw", "hello")["status"]["frameworkId"]
    assert len(tasks) == 3
    up.kill()
    assert identities(up.data_dir) == tasks, "tasks died with troupe up"
    up.start()
    steps.quickstart_ready(kubectl)
    assert uids(kubectl) == objects
    assert kubectl.json("get", "fw", "hello")["status"]["frameworkId"] == framework
    # The controller works again: what it is told now happens, and the old tasks are still the same.
    kubectl("scale", "fw/hello", "--replicas=4")
    steps.until("4 instances", lambda: len(identities(up.data_dir)) == 4)
    now = identities(up.data_dir)
    assert {id: now.get(id) for id in tasks} == tasks


def test_an_agent_killed_keeps_its_tasks(up, kubectl):
    steps.quickstart_ready(kubectl)
    tasks = identities(up.data_dir)
    agents = [pid for pid, command in processes_of(up.data_dir).items() if command.split()[1:2] == ["agent"]]
    assert len(agents) == 2, processes_of(up.data_dir)
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    steps.until(
        "new agents",
        lambda: len(
            [p for p, c in processes_of(up.data_dir).items() if c.split()[1:2] == ["agent"] and p not in agents]
        )
        == 2,
    )
    steps.quickstart_ready(kubectl)
    assert identities(up.data_dir) == tasks


def test_master_and_member_killed_come_back(up, kubectl):
    steps.quickstart_ready(kubectl)
    tasks = identities(up.data_dir)
    for part in ("master", "member"):
        for pid, command in processes_of(up.data_dir).items():
            if command.split()[1:2] == [part]:
                os.kill(pid, signal.SIGKILL)
        steps.until(
            f"a new {part}",
            lambda: any(c.split()[1:2] == [part] for c in processes_of(up.data_dir).values()),
        )
        steps.until(
            "all Ready again",
            lambda: kubectl.run(
                "wait", "ens/quickstart", "zn/app-config", "pool/quickstart", "fw/hello",
                "--for=condition=Ready", "--timeout=60s",
            ).returncode == 0,
        )
    steps.reads_declared_znode(kubectl)
    kubectl("scale", "fw/hello", "--replicas=4")
    steps.until("4 instances", lambda: len(identities(up.data_dir)) == 4)
    now = identities(up.data_dir)
    assert {id: now.get(id) for id in tasks} == tasks


def test_sigterm_ends_all_in_order(up, kubectl, data_dir):
    steps.quickstart_ready(kubectl)
    assert up.end() == 0
    assert not processes_of(data_dir)
    assert not tasks_of(data_dir)
    # What was declared is still declared.
    up.start()
    steps.quickstart_ready(kubectl)
    assert len(tasks_of(data_dir)) == 3
