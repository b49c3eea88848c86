"""Fixtures of the black-box tests."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from e2e.harness import paths  # noqa: E402
from e2e.harness.kube_apiserver import KubeApiserver  # noqa: E402
from e2e.harness.kubectl import Kubectl  # noqa: E402
from e2e.harness.up import Up, processes_of  # noqa: E402


def need(*peers):
    """Leaves the test out, loudly, where a peer is not built; with CI=true that is a failure."""
    missing = [peer for peer in peers if not (paths.BIN / peer).exists()]
    if missing:
        why = f"{', '.join(missing)} not built (e2e/peers/build.sh; needs Go)"
        if os.environ.get("CI") == "true":
            pytest.fail(why + "; with CI=true nothing may be left out")
        pytest.skip(why)


@pytest.fixture
def data_dir(tmp_path):
    """A data folder; after the test no process may name it and no cgroup may be left."""
    folder = tmp_path / "troupe"
    yield folder
    left = processes_of(folder)
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def up(data_dir):
    """The quickstart, running."""
    need("kubectl")
    with Up(data_dir, [paths.QUICKSTART]) as running:
        yield running


@pytest.fixture
def kubectl(up):
    return Kubectl(up.kubeconfig)


@pytest.fixture(scope="session")
def kube_apiserver(tmp_path_factory):
    """A real kube-apiserver, one for the whole run."""
    need("kube-apiserver", "etcd", "kubectl")
    with KubeApiserver(tmp_path_factory.mktemp("kube-apiserver")) as real:
        yield real
