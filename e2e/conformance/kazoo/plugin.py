"""A pytest plugin for kazoo's own suite: what is excluded with its reason, and the ports of its servers.

Loaded with `-p` into a pytest of its own, beside kazoo's files, which are not changed.
"""

import os
import pathlib

import OpenSSL
import pytest

from kazoo.testing import common

HERE = pathlib.Path(__file__).resolve().parent


def exclusions(alone):
    """Test id → reason, for a suite against one member or against an ensemble."""
    found = {}
    for line in (HERE / "exclusions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            when, test, reason = (part.strip() for part in line.split("|", 2))
            assert when in ("always", "alone"), line
            if alone or when == "always":
                found[test] = reason
    return found


def pytest_collection_modifyitems(items):
    left = exclusions(os.environ["ZOOKEEPER_CLUSTER_SIZE"] == "1")
    for item in items:
        name = item.nodeid.rsplit("kazoo/tests/", 1)[-1]
        if (reason := left.pop(name, None)) is not None:
            item.add_marker(pytest.mark.skip(reason="EXCLUDED: " + reason))
    if not os.environ.get("KAZOO_SUITE_PART"):
        assert not left, f"excluded, but not in the suite: {sorted(left)}"


class CertificateOfVersion3(OpenSSL.crypto.X509):
    """The suite makes its servers' and clients' certificates without naming a version, which makes them
    version 1. No maintained library but Java's takes those; these are of version 3."""

    def __init__(self):
        super().__init__()
        self.set_version(2)


OpenSSL.crypto.X509 = CertificateOfVersion3
