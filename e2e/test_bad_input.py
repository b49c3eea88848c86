"""Bad input: a clear error or condition that names the remedy; nothing lost, nothing hung."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest
import yaml

from e2e import steps
from e2e.conftest import need
from e2e.harness import paths
from e2e.harness.kubectl import Kubectl
from e2e.harness.tasks import tasks_of
from e2e.harness.up import Up

GROUP = "troupe.dev/v1alpha1"


def manifest(kind, name="bad", **spec):
    return yaml.safe_dump({"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec})


def service(**task):
    return {"poolRef": {"name": "quickstart"}, "service": {}, "task": task}


REFUSED = [
    # what, manifest, words of the answer
    ("wrong type", manifest("Ensemble", members="three"), ["spec.members", "integer"]),
    ("out of bounds", manifest("Ensemble", members=0), ["spec.members", "greater than or equal to 1"]),
    ("unknown field", manifest("Ensemble", membrs=3), ["unknown field", "spec.membrs"]),
    ("reserved path", manifest("ZNode", ensembleRef={"name": "e"}, path="/zookeeper/config"), ["/zookeeper", "choose a path"]),
    ("relative path", manifest("ZNode", ensembleRef={"name": "e"}, path="a/b"), ["spec.path"]),
    ("dots in a path", manifest("ZNode", ensembleRef={"name": "e"}, path="/a/../b"), ["spec.path", "'..'"]),
    ("two sources", manifest("ZNode", ensembleRef={"name": "e"}, path="/a", data="x", dataBase64="eA=="), ["at most one"]),
    ("no sort", manifest("Framework", poolRef={"name": "p"}, task={"shell": "true"}), ["exactly one of service"]),
    ("two programs", manifest("Framework", **service(shell="true", command=["true"])), ["exactly one of command"]),
    ("nothing to run", manifest("Framework", **service()), ["say what runs"]),
    ("wrong quantity", manifest("Framework", **service(shell="true", resources={"memory": "64 megs"})), ["spec.task.resources.memory"]),
    ("wrong duration", manifest("Framework", **service(shell="true", gracePeriod="soon")), ["spec.task.gracePeriod"]),
    ("wrong role", manifest("Framework", role="a//b", **service(shell="true")), ["spec.role"]),
    ("a role twice", manifest("ResourcePool", ensembleRef={"name": "e"}, roles=[{"name": "a"}, {"name": "a"}]), ["Duplicate value"]),
    ("a controller's key", manifest("Ensemble", config={"clientPort": "1"}), ["clientPort", "spec.ports"]),
    ("two lines in zoo.cfg", manifest("Ensemble", config={"a": "b\nclientPort=1"}), ["one line"]),
    ("no spec", f"apiVersion: {GROUP}\nkind: ZNode\nmetadata: {{name: bad}}\n", ["spec"]),
    ("not YAML", "kind: [", ["error"]),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    need("kubectl")
    with Up(tmp_path_factory.mktemp("bad") / "troupe", [paths.QUICKSTART]) as up:
        kubectl = Kubectl(up.kubeconfig)
        steps.quickstart_ready(kubectl)
        yield up, kubectl


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_refused_by_the_api(running, case):
    _, kubectl = running
    _, text, words = case
    done = kubectl.run("apply", "-f", "-", stdin=text)
    assert done.returncode != 0, done.stdout
    for word in words:
        assert word in done.stderr, done.stderr
    assert "/bad" not in kubectl("get", "ens,zn,pool,fw", "-o", "name")


TOLD = [
    # what, kind and name, manifest, words of the Ready or Stalled condition
    ("no such ensemble", "zn/bad", manifest("ZNode", ensembleRef={"name": "nowhere"}, path="/bad"), ["nowhere"]),
    ("no such pool", "fw/bad", manifest("Framework", poolRef={"name": "nowhere"}, service={}, task={"shell": "true"}), ["nowhere"]),
    ("no ensemble for a pool", "pool/bad", manifest("ResourcePool", ensembleRef={"name": "nowhere"}), ["nowhere"]),
    ("no such config map", "zn/bad", manifest("ZNode", ensembleRef={"name": "quickstart"}, path="/bad", dataFrom={"configMapKeyRef": {"name": "nocm", "key": "k"}}), ["nocm"]),
    ("more than there is", "fw/bad", manifest("Framework", **service(shell="sleep 60", resources={"cpu": "64"})), ["cpu"]),
    ("limit below promise", "fw/bad", manifest("Framework", **service(shell="true", resources={"memory": "64Mi"}, limits={"memory": "32Mi"})), ["spec.task.limits.memory is below"]),
    ("no such program", "fw/bad", manifest("Framework", **service(command=["/nonexistent/program"])), ["/nonexistent/program"]),
    ("no such user", "fw/bad", manifest("Framework", **service(shell="true", user="nobody-of-that-name")), ["nobody-of-that-name"]),
    ("cron, later", "fw/bad", manifest("Framework", poolRef={"name": "quickstart"}, cron={"schedule": "* * * * *"}, task={"shell": "true"}), ["spec.cron"]),
    ("image, later", "fw/bad", manifest("Framework", **service(image="busybox")), ["spec.task.image"]),
    ("TLS without a Secret", "ens/bad", manifest("Ensemble", members=1, tls={"client": {}}), ["spec.tls.client.secretRef", "kubectl create secret"]),
    ("no such Secret", "ens/bad", manifest("Ensemble", members=1, tls={"peer": {"secretRef": {"name": "nosec"}}}), ["nosec", "create it"]),
    ("a port without TLS", "ens/bad", manifest("Ensemble", members=1, ports={"secureClient": 22810}), ["spec.ports.secureClient", "spec.tls.client.secretRef"]),
    ("nobody can be known", "ens/bad", manifest("Ensemble", members=1, authentication={"required": True}), ["spec.authentication.required", "saslUsers"]),
    ("no such digest", "ens/bad", manifest("Ensemble", members=1, authentication={"superDigest": {"secretKeyRef": {"name": "nosec", "key": "k"}}}), ["nosec", "with the key k"]),
    ("nobody to join", "ens/bad", manifest("Ensemble", members=1, join={"servers": ["server.1=127.0.0.1:1:2;3"]}), ["127.0.0.1:3", "start them, or correct spec.join.servers"]),
    ("a server without a client port", "ens/bad", manifest("Ensemble", members=1, join={"servers": ["server.1=a:1:2"]}), ["spec.join.servers", "with the port for clients"]),
]


def conditions(kubectl, object):
    return kubectl.json("get", object).get("status", {}).get("conditions", [])


def unwell(condition):
    return (condition["type"], condition["status"]) in {
        ("Ready", "False"), ("Ready", "Unknown"), ("Stalled", "True"),
    }


@pytest.mark.parametrize("case", TOLD, ids=[case[0] for case in TOLD])
def test_told_by_a_condition(running, case):
    _, kubectl = running
    _, object, text, words = case
    kubectl("apply", "-f", "-", stdin=text)
    try:

        def told():
            messages = [c["message"] for c in conditions(kubectl, object) if unwell(c)]
            assert any(all(word in message for word in words) for message in messages), messages
            return True

        steps.until(f"a condition with {words}", told, limit=30)
    finally:
        kubectl("delete", object, "--timeout=60s")


def test_a_reference_that_comes_later_is_found(running):
    _, kubectl = running
    text = manifest("ZNode", "late", ensembleRef={"name": "quickstart"}, path="/late", dataFrom={"configMapKeyRef": {"name": "late", "key": "k"}}, deletionPolicy="Delete")
    kubectl("apply", "-f", "-", stdin=text)
    kubectl("create", "configmap", "late", "--from-literal=k=v")
    steps.ready(kubectl, "zn/late")
    kubectl("delete", "zn/late", "cm/late", "--timeout=60s")


def test_an_ensemble_port_in_use_is_told(running):
    _, kubectl = running
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kubectl("apply", "-f", "-", stdin=manifest("Ensemble", "port", members=1, ports={"client": port}))
        steps.until(
            "a condition that names the port",
            lambda: any(c["reason"] == "PortInUse" and str(port) in c["message"] for c in conditions(kubectl, "ens/port")),
        )
    # Freed, it is taken without anybody's help.
    steps.ready(kubectl, "ens/port")
    kubectl("delete", "ens/port", "--timeout=60s")


def test_the_api_refuses_who_shows_no_certificate(running):
    up, _ = running
    server = yaml.safe_load(up.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    nobody = ssl._create_unverified_context()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server}/apis/{GROUP}/frameworks", context=nobody, timeout=10)
    status = json.load(refused.value)
    assert (status["code"], status["reason"]) == (403, "Forbidden"), status
    assert "system:anonymous" in status["message"]


@contextlib.contextmanager
def world_readable(prefix):
    """A folder that another user can reach, with the binary in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    try:
        folder.chmod(0o755)
        shutil.copy(paths.troupe(), folder / "troupe")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_without_the_right_to_write_cgroups_tasks_run_and_it_is_told():
    need("kubectl")
    with world_readable("troupe-nobody-") as folder:
        home = folder / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        with NobodysUp(folder / "troupe", home / "data", [paths.QUICKSTART]) as up:
            kubectl = Kubectl(up.kubeconfig)
            steps.quickstart_ready(kubectl)

            def told():
                all = conditions(kubectl, "pool/quickstart")
                enforced = next(c for c in all if c["type"] == "Enforced")
                assert enforced["status"] == "False" and "cgroup" in enforced["message"], enforced
                return True

            steps.until("Enforced=False with the reason", told)
            assert len(tasks_of(up.data_dir)) == 3


class NobodysUp(Up):
    """`troupe up` as the user nobody."""

    def __init__(self, binary, data_dir, manifests):
        super().__init__(data_dir, manifests)
        self.binary = binary

    def command(self):
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        return drop + [str(self.binary), *super().command()[1:]]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_stops_writes_keeps_reads_and_mends_by_itself():
    need("kubectl")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-full-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)], check=True)
    try:
        with Up(folder / "troupe") as up:
            kubectl = Kubectl(up.kubeconfig)
            kubectl("create", "configmap", "before", "--from-literal=a=1")
            filler = folder / "filler"
            # What did not fit is tried again when the file is closed.
            with contextlib.suppress(OSError), open(filler, "wb") as file:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            # The preallocated end of the log may still take some writes; then they are refused.
            body = "x" * 200_000

            def refused():
                big = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": body}}
                big["metadata"] = {"name": f"c{refused.count}"}
                done = kubectl.run("create", "-f", "-", stdin=json.dumps(big))
                refused.count += 1
                return done.stderr if done.returncode else None

            refused.count = 0
            message = steps.until("a refused write", refused)
            assert "space" in message or "disk" in message, message
            assert kubectl("get", "configmap", "before", "-o", "jsonpath={.data.a}") == "1"
            filler.unlink()
            steps.until(
                "writes again",
                lambda: kubectl.run("create", "configmap", "after", "--from-literal=a=1").returncode == 0
                or "exists" in kubectl.run("create", "configmap", "after", "--from-literal=a=1").stderr,
            )
            assert kubectl("get", "configmap", "after", "-o", "jsonpath={.data.a}") == "1"
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
