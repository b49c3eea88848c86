"""One Troupe without manifests for all tests of a file: its fixtures take the place of conftest's where they are imported."""

import pytest

from e2e.conftest import need
from e2e.harness.kubectl import Kubectl
from e2e.harness.up import Up, processes_of


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    need("kubectl")
    data_dir = tmp_path_factory.mktemp("lasting") / "troupe"
    with Up(data_dir) as running:
        yield running
    left = processes_of(data_dir)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="module")
def kubectl(up):
    return Kubectl(up.kubeconfig)
