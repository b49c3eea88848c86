"""Where members meet: on IPv6, Apache's among ours, and under names whose addresses change. Loopback only."""

import contextlib

import pytest
from kazoo.client import KazooClient

from e2e.harness.ensembles import Ensemble
from e2e.harness.wait import until
from e2e.harness.zookeepers import apache_lib

# Runs a command with another file of names.
WITH_NAMES = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')


@contextlib.contextmanager
def client(peer):
    one = KazooClient(hosts=peer.address, timeout=30)
    one.start(60)
    try:
        yield one
    finally:
        one.stop()
        one.close()


def serve_one_history(peers, name):
    """Each writes what all others read."""
    for peer in peers:
        with client(peer) as one:
            one.create(f"/{name}-{peer.myid}", b"x")
    for peer in peers:
        with client(peer) as one:
            one.sync("/")
            assert {f"{name}-{other.myid}" for other in peers} <= set(one.get_children("/"))


@pytest.mark.parametrize("apache", (1, 3), ids=("apache_follows", "apache_leads"))
def test_members_meet_on_ipv6(tmp_path, apache):
    apache_lib()
    ensemble = Ensemble("troupe", tmp_path, at="[::1]", clients_at="[::1]")
    ensemble.peers[apache].kind = "apache"
    with ensemble:
        if ensemble.leader().kind != "apache" and apache == 3:
            # Ours were quicker. Of two that have the same history the one with the higher id leads.
            quicker = ensemble.leader()
            quicker.kill()
            ensemble.leader()
            quicker.start([])
            ensemble.all_serve()
        assert (ensemble.leader().kind == "apache") == (apache == 3)
        serve_one_history(list(ensemble.peers.values()), "before")
        told = {}
        for peer in ensemble.peers.values():
            with client(peer) as one:
                told[peer.myid] = one.get("/zookeeper/config")[0].decode()
        assert len(set(told.values())) == 1, told
        ensemble.leader().kill()
        ensemble.leader()
        serve_one_history([peer for peer in ensemble.peers.values() if peer.runs], "after")


def test_a_name_is_looked_up_at_every_attempt(tmp_path):
    """Each member moves to another address in turn, and the others find it there: first those that call it for an election,
    then those that follow it."""
    names = tmp_path / "hosts"
    addresses = {myid: "127.0.0.1" for myid in (1, 2, 3)}

    def tell():
        # In place: the file is mounted.
        names.write_text("".join(f"{address} member-{myid}\n" for myid, address in addresses.items()))

    tell()
    ensemble = Ensemble("troupe", tmp_path)
    for myid, peer in ensemble.peers.items():
        peer.at, peer.under = f"member-{myid}", (*WITH_NAMES, str(names))
    with ensemble:
        for myid, peer in ensemble.peers.items():
            peer.kill()
            ensemble.leader()
            addresses[myid] = f"127.0.0.{myid + 1}"
            tell()
            peer.start([])
            until(f"member {myid} serves again", peer.mode, limit=120)
            serve_one_history(list(ensemble.peers.values()), f"moved-{myid}")
        # Whoever leads now is followed where it is now.
        moved = ensemble.leader()
        moved.kill()
        leader = ensemble.leader()
        assert leader is not moved
        serve_one_history([peer for peer in ensemble.peers.values() if peer.runs], "after")
