"""Instances as the kernel sees them."""

import os

import pytest

from e2e import steps
from e2e.harness.tasks import tasks_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="limits need root")


def test_each_instance_is_a_process_in_its_own_limited_cgroup(up, kubectl):
    steps.quickstart_ready(kubectl)
    steps.instances_are_limited_processes(kubectl, up.data_dir)


def test_scaling_leaves_nothing_behind(up, kubectl):
    steps.quickstart_ready(kubectl)
    steps.scales(kubectl, up.data_dir)


def test_the_memory_limit_is_enforced_and_told(up, kubectl):
    steps.quickstart_ready(kubectl)
    steps.memory_limit_is_told(kubectl)


def test_an_ensemble_in_use_stays(up, kubectl):
    steps.quickstart_ready(kubectl)
    steps.ensemble_in_use_is_not_deleted(kubectl)


def test_everything_can_be_deleted(up, kubectl):
    steps.quickstart_ready(kubectl)
    steps.everything_goes(kubectl, up.data_dir)


def test_a_dead_instance_is_replaced(up, kubectl):
    steps.quickstart_ready(kubectl)
    tasks = steps.instances_are_limited_processes(kubectl, up.data_dir)
    victim = next(iter(tasks.values()))
    os.kill(victim.pid, 9)

    def replaced():
        now = tasks_of(up.data_dir)
        return len(now) == 3 and victim.pid not in {t.pid for t in now.values()}

    steps.until("a replacement", replaced)
