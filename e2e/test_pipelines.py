"""Requests that a client sends without waiting for answers, through members of either kind: each is answered in its turn, and a
read sees the writes before it and none behind it."""

import pytest

from e2e.harness.ensembles import Ensemble
from e2e.harness.zkwire import CREATE, GET_DATA, SET_DATA, SYNC, Link, buf, create, i32
from e2e.harness.zookeepers import apache_lib, free_port

COUNT = 50
ROUNDS = 4
APACHE, TROUPE = "apache", "troupe"


@pytest.mark.parametrize(
    ("kinds", "observers"),
    [
        ((TROUPE, TROUPE, TROUPE), ()),
        ((TROUPE, APACHE, TROUPE), ()),
        ((TROUPE, TROUPE, APACHE), ()),
        ((APACHE, TROUPE, TROUPE, APACHE, TROUPE), (4, 5)),
        ((APACHE, TROUPE, APACHE, APACHE, TROUPE), (4, 5)),
    ],
)
def test_answers_come_in_turn_and_reads_see_what_was_written_before_them(tmp_path, kinds, observers):
    apache_lib()
    with Ensemble(kinds, tmp_path, len(kinds), observers=observers) as ensemble:
        all_in_turn(ensemble)


@pytest.mark.parametrize("kinds", [(APACHE, TROUPE, TROUPE, APACHE, TROUPE), (TROUPE, TROUPE, APACHE, APACHE, TROUPE)])
def test_so_do_observers_that_learn_through_followers(tmp_path, kinds):
    """The port is one for all members: each has an address of its own."""
    apache_lib()
    ensemble = Ensemble(kinds, tmp_path, len(kinds), {"observerMasterPort": str(free_port())}, observers=(4, 5))
    for myid, peer in ensemble.peers.items():
        peer.at = f"127.0.0.{10 + myid}"
    with ensemble:
        all_in_turn(ensemble)


def all_in_turn(ensemble):
    with Link(ensemble.leader()) as link:
        link.open()
        assert link.error(CREATE, create("/turns")) == 0
    for peer in ensemble.peers.values():
        for _ in range(ROUNDS):
            in_turn(peer)


def in_turn(peer):
    with Link(peer) as link:
        link.open()
        requests = []
        for value in range(COUNT):
            requests.append(i32(SET_DATA) + buf("/turns") + buf(b"%03d" % value) + i32(-1))
            requests.append(i32(SYNC) + buf("/"))
            requests.append(i32(GET_DATA) + buf("/turns") + b"\0")
        # All at once: a commit tells of more than one of them.
        link.socket.sendall(b"".join(buf(i32(xid) + request) for xid, request in enumerate(requests, 1)))
        answers = [link.answer() for _ in requests]
    assert [xid for xid, *_ in answers] == list(range(1, len(requests) + 1)), f"{peer.kind} {peer.myid}"
    assert {error for _, _, error, _ in answers} == {0}
    read = [body[4:7] for _, _, _, body in answers[2::3]]
    assert read == [b"%03d" % value for value in range(COUNT)], f"{peer.kind} {peer.myid}"
