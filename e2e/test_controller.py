"""The same controller on a real kube-apiserver: the same steps."""

import os
import signal
import subprocess

import pytest

from e2e import steps
from e2e.harness import paths
from e2e.harness.kubectl import Kubectl
from e2e.harness.up import processes_of


@pytest.fixture(scope="module")
def real(kube_apiserver, tmp_path_factory):
    """`troupe controller` with the local platform, and a kubectl of the real API."""
    kubectl = Kubectl(kube_apiserver.kubeconfig)
    crds = subprocess.run([str(paths.troupe()), "crds"], capture_output=True, text=True, check=True).stdout
    kubectl("apply", "--server-side", "-f", "-", stdin=crds)
    kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    data_dir = tmp_path_factory.mktemp("controller") / "troupe"
    log = open(data_dir.parent / "controller.log", "wb")
    controller = subprocess.Popen(
        [
            str(paths.troupe()), "controller", "--platform", "local",
            "--kubeconfig", str(kube_apiserver.kubeconfig), "--data-dir", str(data_dir),
        ],
        stdout=log,
        stderr=log,
    )
    kubectl("apply", "-f", str(paths.QUICKSTART))
    yield kubectl, data_dir
    controller.send_signal(signal.SIGTERM)
    code = controller.wait(60)
    left = processes_of(data_dir)
    log.close()
    assert code == 0 and not left, f"exit code {code}; left behind: {left}"


def test_ready(real):
    steps.quickstart_ready(real[0])


def test_agents(real):
    steps.agents_are_listed(real[0])


def test_kazoo_and_drift(real):
    steps.reads_declared_znode(real[0])
    steps.drift_is_put_back(real[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="limits need root")
def test_limits(real):
    steps.instances_are_limited_processes(*real)


def test_scale(real):
    steps.scales(*real)


@pytest.mark.skipif(os.geteuid() != 0, reason="limits need root")
def test_memory_limit(real):
    steps.memory_limit_is_told(real[0])


def test_in_use(real):
    steps.ensemble_in_use_is_not_deleted(real[0])


def test_everything_goes(real):
    steps.everything_goes(*real)
