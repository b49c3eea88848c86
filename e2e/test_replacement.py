"""An ensemble of Apache's becomes one of ours, member by member over its files, and Apache's again, under load."""

from e2e.bench import replacement, zookeepers
from e2e.harness.zookeepers import apache_lib


def test_no_write_is_lost_and_no_session_expires_while_members_are_replaced(tmp_path):
    """About 25 seconds; in full, with 5,000 requests a second: `python -m e2e.bench replacement`."""
    apache_lib()
    steps = replacement.there_and_back(zookeepers.prepare(), tmp_path, replacement.SHORT, keep=True)
    assert len(steps) == 7
    for step in steps:
        assert not step["violations"], step
        assert not step["expired"], step
        assert step["writes"], step
