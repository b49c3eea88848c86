"""What is shown of Troupe, as steps that do not know which Kubernetes API they are on.

The same functions run against `troupe up` (the embedded API) and against `troupe controller` on a real
kube-apiserver. Each takes a kubectl and the data folder of the local platform.
"""

import threading

from kazoo.client import KazooClient
from kazoo.security import make_acl

from e2e.harness.tasks import cgroups_left, tasks_of
from e2e.harness.wait import until

LIMITS = {
    # what: (controller, file on v1, file on v2, values that mean it)
    "memory 48Mi": ("memory", "memory.limit_in_bytes", "memory.max", {str(48 << 20)}),
    "pids 16": ("pids", "pids.max", "pids.max", {"16"}),
    "cpu 200m": ("cpu", "cpu.cfs_quota_us", "cpu.max", {"20000", "20000 100000"}),
}


def ready(kubectl, *objects, timeout="60s"):
    """Waits until the objects are Ready."""
    kubectl("wait", *objects, "--for=condition=Ready", f"--timeout={timeout}")


QUICKSTART = ("ens/quickstart", "zn/app-config", "pool/quickstart", "fw/hello")


def quickstart_ready(kubectl):
    """Waits until the quickstart is applied, then until it is Ready."""
    until("the quickstart's objects", lambda: kubectl.run("get", *QUICKSTART).returncode == 0)
    ready(kubectl, *QUICKSTART)


def zookeeper(kubectl):
    """A kazoo client of the quickstart's ensemble."""
    servers = kubectl("get", "ens", "quickstart", "-o", "jsonpath={.status.connectString}")
    client = KazooClient(hosts=servers)
    client.start(timeout=15)
    return client


def reads_declared_znode(kubectl):
    """kazoo reads what the ZNode declares."""
    client = zookeeper(kubectl)
    try:
        data, _ = client.get("/app/config")
        assert data == b'greeting = "hello"\nworkers = 3\n'
    finally:
        client.stop()
        client.close()


def drift_is_put_back(kubectl):
    """A change behind Troupe's back is put back; an Event tells it. Gives the seconds it took."""
    client = zookeeper(kubectl)
    declared, _ = client.get("/app/config")
    try:
        back = threading.Event()

        def changed(event):
            if client.get("/app/config", watch=changed)[0] == declared:
                back.set()

        client.set("/app/config", b"tampered")
        if client.get("/app/config", watch=changed)[0] == declared:
            back.set()
        assert back.wait(30), "the znode was not put back"
        client.delete("/app/config")
        until("the deleted znode is back", lambda: client.exists("/app/config"))
        assert client.get("/app/config")[0] == declared
        # ZooKeeper tells nobody of a changed ACL.
        acl, _ = client.get_acls("/app/config")
        client.set_acls("/app/config", [make_acl("world", "anyone", read=True, admin=True)])
        until("the declared ACL", lambda: client.get_acls("/app/config")[0] == acl)
    finally:
        client.stop()
        client.close()
    until(
        "an Event that tells the correction",
        lambda: "DriftCorrected" in kubectl("get", "events", "--field-selector", "involvedObject.name=app-config"),
    )


def instances_are_limited_processes(kubectl, data_dir, count=3):
    """Each instance is a process in its own cgroup, whose files hold the declared limits."""
    tasks = until(f"{count} instances", lambda: exactly(count, tasks_of(data_dir)))
    groups = set()
    for task in tasks.values():
        for what, (controller, v1, v2, values) in LIMITS.items():
            value = task.limit(controller, v1, v2)
            assert value in values, f"{task}: {what}: the file says {value}"
        groups.add(task.cgroup("memory"))
    assert len(groups) == count, f"{count} instances share cgroups: {groups}"
    return tasks


def exactly(count, found):
    return found if len(found) == count else None


def scales(kubectl, data_dir, name="hello"):
    """3 → 5 → 1 leaves no process and no cgroup of those that went."""
    before = until("3 instances", lambda: exactly(3, tasks_of(data_dir)))
    kubectl("scale", f"fw/{name}", "--replicas=5")
    five = until("5 instances", lambda: exactly(5, tasks_of(data_dir)))
    for id, task in before.items():
        assert five[id].pid == task.pid, f"{task} was replaced by scaling up"
    kubectl("wait", f"fw/{name}", "--for=jsonpath={.status.running}=5", "--timeout=60s")
    kubectl("scale", f"fw/{name}", "--replicas=1")
    one = until("1 instance", lambda: exactly(1, tasks_of(data_dir)))
    kubectl("wait", f"fw/{name}", "--for=jsonpath={.status.running}=1", "--timeout=60s")
    gone = [group_of(task) for id, task in five.items() if id not in one]
    until("no cgroup of the instances that went", lambda: not cgroups_left({g for g in gone if g}))
    kubectl("scale", f"fw/{name}", "--replicas=3")
    until("3 instances again", lambda: exactly(3, tasks_of(data_dir)))
    kubectl("wait", f"fw/{name}", "--for=jsonpath={.status.running}=3", "--timeout=60s")


def group_of(task):
    """The container id: the last part of the sandbox's path."""
    return task.environ.get("MESOS_SANDBOX", "").rstrip("/").rsplit("/", 1)[-1]


GREEDY = """
apiVersion: troupe.dev/v1alpha1
kind: Framework
metadata: {name: greedy, namespace: default}
spec:
  poolRef: {name: quickstart}
  role: batch
  instances: 1
  task:
    command: [python3, -c, "import time\\nheld = bytearray(200 << 20)\\nfor i in range(0, len(held), 4096): held[i] = 1\\ntime.sleep(600)"]
    resources: {cpu: 100m, memory: 32Mi}
    limits: {memory: 40Mi}
  service: {}
"""


def memory_limit_is_told(kubectl):
    """An instance that allocates past its limit is restarted; the status names limit, figure and instance."""
    kubectl("apply", "-f", "-", stdin=GREEDY)
    told = until(
        "a failure told in status",
        lambda: kubectl.json("get", "fw", "greedy").get("status", {}).get("lastFailure"),
    )
    assert told["reason"] == "MemoryLimit", told
    assert "memory limit" in told["message"], told
    assert "40Mi" in told["message"], told
    assert told["instance"] and told["instance"] in told["message"], told
    first = told["taskId"]
    until(
        "a restart",
        lambda: kubectl.json("get", "fw", "greedy")["status"].get("failed", 0) >= 2
        or any(t["id"] != first for t in kubectl.json("get", "fw", "greedy")["status"].get("tasks", [])),
    )
    kubectl("delete", "fw", "greedy", "--timeout=60s")


def agents_are_listed(kubectl):
    """The pool's Agents exist as objects, Ready."""
    kubectl("wait", "agents", "--all", "--for=condition=Ready", "--timeout=60s")
    assert len(kubectl.json("get", "agents")["items"]) == 2


def ensemble_in_use_is_not_deleted(kubectl):
    """Deleting an Ensemble that a pool uses waits, and says who uses it."""
    kubectl("delete", "ens", "quickstart", "--wait=false")
    message = until(
        "a condition that names the users",
        lambda: next(
            (
                c["message"]
                for c in kubectl.json("get", "ens", "quickstart")["status"]["conditions"]
                if c["reason"] == "InUse"
            ),
            None,
        ),
    )
    assert "quickstart" in message and "app-config" in message, message
    reads_declared_znode(kubectl)


def everything_goes(kubectl, data_dir):
    """Deleting in any order leaves no task, no process and no object."""
    kubectl("delete", "fw,zn,pool,ens", "--all", "--timeout=90s")
    assert not tasks_of(data_dir)
    assert not kubectl.json("get", "agents")["items"]
