"""What one client asks for costs the member and the other clients a bounded amount.

CHILDREN and EPHEMERALS are how many there are: small in a common run, 1,000,000 and 100,000 on demand.
"""

import os
import select
import subprocess
import threading

import pytest

from e2e.harness import paths, zkwire
from e2e.harness.zkwire import Link, buf, create, i32, i64, multi
from e2e.harness.zookeepers import ZooKeeper

CHILDREN = int(os.environ.get("CHILDREN", 60_000))
EPHEMERALS = int(os.environ.get("EPHEMERALS", 20_000))
GET_CHILDREN_PAGINATED = 71
MARSHALLING_ERROR = -5
# What a stock Java client takes, in bytes.
JAVA_TAKES = 0xFFFFF
# Longer than anything takes but a hang, in seconds.
HANG = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ZooKeeper("troupe", tmp_path_factory.mktemp("member"), {"maxSessionTimeout": "600000"}) as member:
        yield member


@pytest.fixture(scope="module")
def full(server):
    """The path of a znode with CHILDREN children, and their names."""
    with link_to(server) as link:
        link.ask(zkwire.CREATE, create("/full"))
        names = [f"child-number-{number:08}" for number in range(CHILDREN)]
        make(link, [f"/full/{name}" for name in names])
    return "/full", names


def link_to(server, **how):
    link = Link(server, timeout=HANG)
    assert link.open(timeout=600_000, **how) is not None
    return link


def make(link, paths, flags=0):
    """By multis of a hundred, a few of them on their way at once."""
    parts = [paths[at : at + 100] for at in range(0, len(paths), 100)]
    for at in range(0, len(parts), 20):
        some = parts[at : at + 20]
        for part in some:
            record = multi(*((zkwire.CREATE, create(path, flags=flags)) for path in part))
            link.send(i32(1) + i32(zkwire.MULTI) + record)
        assert [link.answer()[2] for _ in some] == [0] * len(some)


def test_children_come_in_pages_that_every_client_takes(server, full):
    path, names = full
    with link_to(server) as link:
        seen, start, pages = [], i64(0) + i32(0), 0
        while start != i64(-1) + i32(-1):
            _, _, error, body = link.ask(GET_CHILDREN_PAGINATED, buf(path) + i32(2**31 - 1) + start + b"\0")
            assert error == 0 and len(body) + 16 <= JAVA_TAKES
            more, at = zkwire.names(body)
            assert len(body) == at + 68 + 12
            seen += more
            start = body[-12:]
            pages += 1
        assert seen == names, "the oldest first, each once"
        assert pages > 1


def test_zk_ls_lists_them(server, full):
    path, names = full
    listed = subprocess.run(
        [paths.troupe(), "zk", "--server", server.address, "ls", path], stdout=subprocess.PIPE, text=True, check=True
    )
    assert listed.stdout.split() == names


def test_who_can_take_all_children_at_once_has_them(server, full):
    path, names = full
    with link_to(server) as link:
        _, _, error, body = link.ask(zkwire.GET_CHILDREN, buf(path) + b"\0")
        assert error == 0 and zkwire.names(body)[0] == names


def test_who_cannot_take_them_is_told_and_keeps_its_session(server, full):
    """A client that does as Java's: it ends the connection when it sees a length above its limit."""
    path, _ = full
    link = link_to(server)
    for _ in range(2):
        link.send(i32(1) + i32(zkwire.GET_CHILDREN) + buf(path) + b"\0")
        (length,) = zkwire.struct.unpack(">i", link._exactly(4))
        assert length > JAVA_TAKES
        link.socket.close()
        session, password = link.session, link.password
        link = link_to(server, session=session, password=password)
        assert link.session == session
    with link:
        assert link.error(zkwire.GET_CHILDREN, buf(path) + b"\1") == MARSHALLING_ERROR
        assert link.error(zkwire.EXISTS, buf(path) + b"\0") == 0
        assert link.error(GET_CHILDREN_PAGINATED, buf(path) + i32(5) + i64(0) + i32(0) + b"\0") == 0
    # Others are not concerned.
    with link_to(server) as other:
        assert other.error(zkwire.GET_CHILDREN, buf(path) + b"\0") == 0


def test_a_client_that_asks_and_never_reads_costs_a_bounded_amount(server, full):
    """It asks for far more than a gigabyte, behind a write and by itself, and watches what others change."""
    path, _ = full
    list_all = i32(1) + i32(zkwire.GET_CHILDREN) + buf(path) + b"\0"
    several = multi(*((zkwire.GET_CHILDREN, buf(path) + b"\0") for _ in range(2000)))
    before = resident(server)
    with link_to(server) as deaf, link_to(server) as other:
        assert deaf.error(zkwire.ADD_WATCH, buf("/") + i32(1)) == 0
        frames = [i32(1) + i32(zkwire.CREATE) + create("/deaf"), *[list_all] * 2000]
        frames.append(i32(1) + i32(zkwire.MULTI_READ) + several)
        deaf.socket.setblocking(False)
        unsent = b"".join(i32(len(frame)) + frame for frame in frames)
        while unsent and select.select([], [deaf.socket], [], 2)[1]:
            unsent = unsent[deaf.socket.send(unsent) :]
        for number in range(200):
            assert other.error(zkwire.SET_DATA, buf(path) + buf(b"x") + i32(-1)) == 0
            assert other.error(zkwire.EXISTS, buf(path) + b"\0") == 0
        # The queue of one, and an answer that may be as long again.
        assert resident(server) - before < 400 << 20
    with link_to(server) as link:
        assert link.error(zkwire.MULTI_READ, several) == MARSHALLING_ERROR, "one answer has a bound, too"
        assert link.error(zkwire.EXISTS, buf(path) + b"\0") == 0


def test_requests_that_had_to_wait_for_the_client_need_no_more_from_it(server, full):
    """Each answer is more than may be unread, and all of it fits into the socket at once."""
    path, _ = full
    with link_to(server) as link:
        frame = i32(1) + i32(zkwire.GET_CHILDREN) + buf(path) + b"\0"
        link.socket.sendall((i32(len(frame)) + frame) * 20)
        assert [link.answer()[2] for _ in range(20)] == [0] * 20


def test_answers_that_had_to_wait_for_the_client_come_in_order(server, full):
    path, names = full
    with link_to(server) as link:
        length = len(names) * len(buf(names[0]))
        # So much that not all is queued behind the write.
        reads = 2 + (40 << 20) // length
        link.send(i32(1) + i32(zkwire.CREATE) + create("/ordered"))
        for xid in range(2, 2 + reads):
            link.send(i32(xid) + i32(zkwire.GET_CHILDREN) + buf(path) + b"\0")
        link.send(i32(2 + reads) + i32(zkwire.DELETE) + buf("/ordered") + i32(-1))
        link.send(i32(3 + reads) + i32(zkwire.EXISTS) + buf("/ordered") + b"\0")
        answers = [link.answer() for _ in range(3 + reads)]
        assert [xid for xid, *_ in answers] == list(range(1, 4 + reads))
        assert [error for _, _, error, _ in answers] == [0] * (2 + reads) + [-101]


def test_the_end_of_a_session_of_many_ephemerals_leaves_others_their_turn(server):
    with link_to(server) as link, link_to(server) as other:
        link.ask(zkwire.CREATE, create("/many"))
        make(link, [f"/many/{number:06}" for number in range(EPHEMERALS)], flags=1)
        link.send(i32(2) + i32(zkwire.CLOSE_SESSION))
        ended = threading.Event()
        end = threading.Thread(target=lambda: (link.answer(), ended.set()))
        end.start()
        counts = []
        while not ended.is_set() or not counts:
            assert other.error(zkwire.SET_DATA, buf("/many") + buf(b"") + i32(-1)) == 0
            _, _, error, body = other.ask(zkwire.EXISTS, buf("/many") + b"\0")
            assert error == 0
            counts.append(zkwire.stat(body)["children"])
        end.join()
        between = {count for count in counts if 0 < count < EPHEMERALS}
        assert between, "nobody else was served while it ended"
        assert zkwire.stat(other.ask(zkwire.EXISTS, buf("/many") + b"\0")[3])["children"] == 0


def test_an_oversize_request_is_refused_and_its_session_goes_on(server):
    with link_to(server) as link:
        link.ask(zkwire.CREATE, create("/mine", flags=1))
        for length in (JAVA_TAKES - 7, 3 << 20, 64 << 20):
            frame = i32(9) + i32(zkwire.CREATE) + create("/too-long", bytes(length))
            link.send(frame)
            xid, _, error, _ = link.answer()
            assert (xid, error) == (9, -8)
        assert link.error(zkwire.EXISTS, buf("/mine") + b"\0") == 0
        assert link.error(zkwire.EXISTS, buf("/too-long") + b"\0") == -101


def resident(server):
    """Bytes of memory that the process has."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
