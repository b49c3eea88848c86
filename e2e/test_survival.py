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
    # Watches came along to the new process.
    steps.drift_is_put_back(kubectl)
    kubectl("scale", "fw/hello", "--replicas=4")
    steps.until("4 instances", lambda: len(identities(up.data_dir)) == 4)
    now = identities(up.data_dir)
    assert {id: now.get(id) for id in tasks} == tasks


PATIENT = """
apiVersion: troupe.dev/v1alpha1
kind: Framework
metadata: {name: patient}
spec:
  poolRef: {name: quickstart}
  role: batch
  instances: 1
  task:
    shell: "trap 'sleep 12; echo done > %s; exit 0' TERM; echo > %s; while :; do sleep 0.1; done"
    gracePeriod: 60s
    resources: {cpu: 100m, memory: 32Mi}
  service: {}
"""


def test_a_grace_period_is_kept_at_the_end(up, kubectl, data_dir, tmp_path):
    """Costs 12 s: longer than a part has by itself."""
    steps.quickstart_ready(kubectl)
    done, begun = tmp_path / "done", tmp_path / "begun"
    kubectl("apply", "-f", "-", stdin=PATIENT % (done, begun))
    steps.until("the task's trap", begun.exists)
    assert up.end(limit=120) == 0
    assert done.exists(), "the task was killed before its time"
    assert not processes_of(data_dir)


def test_sigterm_ends_all_in_order(up, kubectl, data_dir):
    steps.quickstart_ready(kubectl)
    assert up.end() == 0
    assert not processes_of(data_dir)
    assert not tasks_of(data_dir)
    # What was declared is still declared.
    up.start()
    steps.quickstart_ready(kubectl)
    assert len(tasks_of(data_dir)) == 3
