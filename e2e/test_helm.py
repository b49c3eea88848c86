"""The cluster plane on a real kube-apiserver: install, the planned objects, pruning, upgrade, uninstall.

No node is needed: the controller that the chart would run in a pod runs here, with the chart's own
ServiceAccount and so with no more rights than the chart grants.
"""

import json
import os
import signal
import subprocess

import pytest
import yaml

from e2e.conftest import need
from e2e.harness import paths
from e2e.harness.kubectl import Kubectl
from e2e.harness.wait import until

CHARTS = paths.ROOT / "charts"
CRDS = ["ensembles", "znodes", "resourcepools", "agents", "frameworks"]

DECLARED = """
apiVersion: troupe.dev/v1alpha1
kind: Ensemble
metadata: {name: zk}
spec: {members: 1, storage: {size: 2Gi}}
---
apiVersion: troupe.dev/v1alpha1
kind: ResourcePool
metadata: {name: main}
spec:
  ensembleRef: {name: zk}
  agents: {resources: {cpu: 2, memory: 1Gi}}
"""

PLANNED = [
    "configmap/zk-config", "service/zk-members", "service/zk-client", "poddisruptionbudget/zk", "statefulset/zk",
    "serviceaccount/main-masters", "serviceaccount/main-agents", "role/main-agents", "rolebinding/main-agents",
    "service/main-masters", "deployment/main-masters", "daemonset/main-agents",
]


class Helm:
    def __init__(self, binary, kubeconfig, home):
        self.binary, self.kubeconfig, self.home = paths.BIN / binary, kubeconfig, home

    def __call__(self, *args):
        done = subprocess.run(
            [str(self.binary), "--kubeconfig", str(self.kubeconfig), *map(str, args)],
            capture_output=True, text=True, timeout=120, env=dict(os.environ, HOME=str(self.home)),
        )
        assert done.returncode == 0, f"helm {' '.join(map(str, args))}: {done.stderr}"
        return done.stdout


@pytest.fixture(params=["helm3", "helm4"])
def helm(request, kube_apiserver, tmp_path):
    need(request.param, "kubectl")
    return Helm(request.param, kube_apiserver.kubeconfig, tmp_path)


def as_account(kube_apiserver, kubectl, namespace, name, path):
    """A kubeconfig with the token of a ServiceAccount."""
    config = yaml.safe_load(kube_apiserver.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kubectl("-n", namespace, "create", "token", name).strip()}
    path.write_text(yaml.safe_dump(config))
    return path


def forget_finalizers(kubectl):
    """Objects that a failed test left have no controller any more that would let them go."""
    for kind in CRDS:
        found = kubectl.run("get", f"{kind}.troupe.dev", "-A", "-o", "json")
        for item in json.loads(found.stdout)["items"] if found.returncode == 0 else []:
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            patch = ["--type=merge", "-p", '{"metadata":{"finalizers":null}}']
            kubectl("-n", namespace, "patch", f"{kind}.troupe.dev/{name}", *patch)


def test_install_plan_prune_upgrade_uninstall(helm, kube_apiserver, tmp_path):
    kubectl = Kubectl(kube_apiserver.kubeconfig)
    release = f"troupe-{helm.binary.name}"
    system, user = f"{release}-system", f"{release}-user"
    # A run of another module may have left the definitions; the chart must be their owner here.
    forget_finalizers(kubectl)
    kubectl("delete", "crd", *[f"{c}.troupe.dev" for c in CRDS], "--ignore-not-found", "--timeout=60s")
    helm("install", release, CHARTS / "troupe", "-n", system, "--create-namespace")
    for crd in CRDS:
        kubectl("wait", f"crd/{crd}.troupe.dev", "--for=condition=Established", "--timeout=30s")
    deployment = kubectl.json("-n", system, "get", "deployment", release)
    assert deployment["spec"]["replicas"] == 1

    kubectl("create", "namespace", user)
    mine = Kubectl(kube_apiserver.kubeconfig, namespace=user)
    account = as_account(kube_apiserver, kubectl, system, release, tmp_path / "account")
    with open(tmp_path / "controller.log", "wb") as log:
        controller = subprocess.Popen(
            [
                str(paths.troupe()), "controller", "--platform", "cluster", "--kubeconfig", str(account),
                "--image", "troupe:test", "--lease-namespace", system, "--log", "info",
            ],
            stdout=log, stderr=log,
        )
        try:
            mine("apply", "-f", "-", stdin=DECLARED)
            for object in PLANNED:
                until(f"{object} ({tmp_path}/controller.log)", lambda: mine.run("get", object).returncode == 0)
            set_ = mine.json("get", "statefulset", "zk")
            assert set_["spec"]["replicas"] == 1
            assert set_["spec"]["template"]["spec"]["containers"][0]["image"] == "troupe:test"
            claim = set_["spec"]["volumeClaimTemplates"][0]["spec"]
            assert claim["resources"]["requests"]["storage"] == "2Gi"
            pods = mine.json("get", "daemonset", "main-agents")["spec"]["template"]["spec"]
            assert pods["containers"][0]["resources"]["requests"]["cpu"] == "2"

            # What somebody changed is put back; what is declared anew is carried out.
            mine("patch", "service", "zk-client", "--type=json", "-p",
                 '[{"op":"replace","path":"/spec/ports/0/port","value":1}]')
            until("the Service as planned", lambda: mine("get", "service", "zk-client", "-o", "jsonpath={.spec.ports[0].port}") == "2181")
            mine("patch", "pool", "main", "--type=merge", "-p", '{"spec":{"masters":{"count":2}}}')
            until("two masters", lambda: mine("get", "deployment", "main-masters", "-o", "jsonpath={.spec.replicas}") == "2")

            # The status tells the truth: nothing runs here.
            ready = until(
                "a Ready condition",
                lambda: [c for c in mine.json("get", "ens", "zk").get("status", {}).get("conditions", []) if c["type"] == "Ready"],
            )
            assert ready[0]["status"] == "False", ready

            helm("upgrade", release, CHARTS / "troupe", "-n", system, "--set", "replicas=2")
            assert kubectl.json("-n", system, "get", "deployment", release)["spec"]["replicas"] == 2

            mine("delete", "pool", "main", "--timeout=60s")
            mine("delete", "ens", "zk", "--timeout=60s")
            for object in PLANNED:
                until(f"{object} gone", lambda: mine.run("get", object).returncode != 0)
        finally:
            controller.send_signal(signal.SIGTERM)
            assert controller.wait(30) == 0, (tmp_path / "controller.log").read_text()[-2000:]

    helm("uninstall", release, "-n", system)
    assert kubectl.run("-n", system, "get", "deployment", release).returncode != 0
    assert kubectl.run("get", "clusterrole", release).returncode != 0
    # Kept, so that no declared object is lost by an uninstall.
    kubectl("get", "crd", "ensembles.troupe.dev")
    kubectl("delete", "crd", *[f"{c}.troupe.dev" for c in CRDS], "--timeout=60s")


@pytest.mark.parametrize("binary", ["helm3", "helm4"])
def test_charts_are_clean(binary, tmp_path):
    need(binary)
    for chart in ("troupe", "troupe-crds"):
        done = subprocess.run(
            [str(paths.BIN / binary), "lint", "--strict", str(CHARTS / chart)],
            capture_output=True, text=True, timeout=60, env=dict(os.environ, HOME=str(tmp_path)),
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_typo_in_the_values_is_refused(tmp_path):
    need("helm3")
    done = subprocess.run(
        [str(paths.BIN / "helm3"), "template", "x", str(CHARTS / "troupe"), "--kube-version", "1.34", "--set", "replica=2"],
        capture_output=True, text=True, timeout=60, env=dict(os.environ, HOME=str(tmp_path)),
    )
    assert done.returncode != 0 and "replica" in done.stderr
