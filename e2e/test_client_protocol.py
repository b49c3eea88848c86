"""The client protocol case by case, in bytes: our server answers as Apache's does in the same run.

A case is a function that talks to one server and returns what it saw, without zxids, times and ids. It runs against both.
Where ours is to do otherwise, the case names it: `deviate` holds what ours must say then.
"""

import struct

import pytest

from e2e.harness.zkwire import (
    ADD_WATCH, ANYONE, AUTH, CHECK, CHECK_WATCHES, CLOSE_SESSION, CREATE, CREATE2, CREATE_CONTAINER, CREATE_SESSION,
    CREATE_TTL, DELETE, DELETE_CONTAINER, EXISTS, GET_ACL, GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2, GET_DATA,
    GET_EPHEMERALS, MULTI, MULTI_READ, PING, RECONFIG, REMOVE_WATCHES, SASL, SET_ACL, SET_DATA, SET_WATCHES, SET_WATCHES2,
    SYNC, WHO_AM_I, Closed, Link, acl, buf, create, header, i32, i64, multi, stat, vec,
)  # fmt: skip
from e2e.harness.zookeepers import ZooKeeper, apache_lib

CONFIG = {"enforceQuota": "true", "4lw.commands.whitelist": "*"}
FLAGS = ["-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="]

NO_NODE, NO_AUTH, BAD_VERSION, BAD_ARGUMENTS, MARSHALLING, UNIMPLEMENTED = -101, -102, -103, -8, -5, -6


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    apache_lib()
    folder = tmp_path_factory.mktemp("servers")
    with (
        ZooKeeper("apache", folder / "apache", CONFIG, FLAGS) as apache,
        ZooKeeper("troupe", folder / "troupe", CONFIG, FLAGS) as troupe,
    ):
        yield apache, troupe


CASES = []


def case(function=None, **deviate):
    """Registers a case. `deviate`: for a key of what it returns, what ours says instead, and why."""
    if function is None:
        return lambda function: case(function, **deviate)
    CASES.append(pytest.param(function, deviate, id=function.__name__))
    return function


@pytest.mark.parametrize("function, deviate", CASES)
def test_case(servers, function, deviate):
    root = f"/{function.__name__}"
    apache, troupe = (run(function, server, root) for server in servers)
    for key, expected in deviate.items():
        assert troupe[key] == expected, key
        assert apache[key] != expected, f"{key}: Apache's does so, too; it is no deviation"
        apache[key] = expected
    assert troupe == apache


def run(function, server, root):
    with Link(server) as link:
        link.open()
        assert link.error(CREATE, create(root)) == 0
        link.server = server
        return function(link, root)


def fresh(link):
    """Another session on the same server."""
    other = Link(link.server)
    assert other.open()
    return other


# ---- connecting ----


@case
def timeouts_are_clamped(link, root):
    seen = []
    for timeout in (-5, 0, 1, 3999, 4000, 4001, 30_000, 40_000, 40_001, 2**31 - 1):
        with Link(link.server) as other:
            seen.append(other.open(timeout)[0])
    return {"timeouts": seen}


@case
def connect_requests_of_many_forms(link, root):
    seen = {}
    forms = {
        "45 bytes": {},
        "44 bytes": {"read_only": b""},
        "read only": {"read_only": b"\1"},
        "odd flag": {"read_only": b"\7"},
        "version 9": {"version": 9},
        "null password": {"password": None},
        "short password": {"password": b"x"},
        "long password": {"password": bytes(40)},
        "more behind": {"more": b"surplus"},
        "a future zxid": {"last_zxid": 1 << 50},
        "a past zxid": {"last_zxid": 1},
        "an unknown session": {"session": 12345},
        "an unknown session, short password": {"session": 12345, "password": b"x"},
    }
    for name, form in forms.items():
        with Link(link.server) as other:
            answer = other.open(**form)
            if answer is not None:
                timeout, session, password, tail = answer
                answer = (timeout, session != 0, len(password), any(password), tail)
                answer += (other.is_closed(),) if session == 0 else ()
            seen[name] = answer
    return seen


@case
def sessions_are_taken_over(link, root):
    with fresh(link) as one, Link(link.server) as two, Link(link.server) as three:
        one.ask(CREATE, create(f"{root}/e", flags=1))
        again = two.open(session=one.session, password=one.password)
        seen = {"same": again[1:3] == (one.session, one.password), "first is closed": one.is_closed()}
        seen["ephemeral"] = two.error(EXISTS, buf(f"{root}/e") + b"\0")
        seen["close"] = two.error(CLOSE_SESSION)
        seen["end"] = two.is_closed()
        seen["closed"] = three.open(session=one.session, password=one.password)[:2]
        seen["gone"] = link.error(EXISTS, buf(f"{root}/e") + b"\0")
        return seen


@case(**{"victim lives": 0})
def a_wrong_password(link, root):
    with fresh(link) as one, Link(link.server) as two:
        answer = two.open(session=one.session, password=b"0123456789abcdef")
        return {"answer": answer, "end": two.is_closed(), "victim lives": one.error(PING, xid=-2)}


@case
def first_frames_that_are_none(link, root):
    seen = {}
    for name, data in {
        "negative length": i32(-2),
        "too long": i32(0x7FFFFFFF),
        "cut short": i32(10) + bytes(10),
        "empty": i32(0),
    }.items():
        with Link(link.server) as other:
            other.socket.sendall(data)
            seen[name] = other.is_closed()
    return seen


# ---- headers ----


@case
def xids_are_echoed(link, root):
    record = buf(root) + b"\0"
    xids = [1, 0, -3, -7, -100, 2**31 - 1, -(2**31)]
    seen = {xid: link.ask(EXISTS, record, xid)[0] for xid in xids}
    seen["ping"] = [link.ask(PING, xid=xid)[::2] for xid in (-2, 5, 0)]
    return seen


@case
def unknown_requests_end_the_connection(link, root):
    seen = {}
    for kind in (0, CHECK, 10, 23, 99, 108, 1000, -1, -2, -12, 2**31 - 1):
        with fresh(link) as other:
            xid, zxid, error, body = other.ask(kind, buf(root) + i32(-1))
            seen[kind] = (xid, zxid, error, body, other.is_closed())
    return seen


@case(deleteContainer=(-6, True), createSession=(-6, True))
def requests_that_are_servers_own(link, root):
    """Apache takes them from clients: one deletes without a look at the ACL."""
    seen = {}
    link.ask(CREATE, create(f"{root}/x", entries=[(1, "world", "anyone")]))
    for name, kind, record in (
        ("deleteContainer", DELETE_CONTAINER, buf(f"{root}/x")),
        ("createSession", CREATE_SESSION, i32(30_000)),
    ):
        with fresh(link) as other:
            error = other.error(kind, record)
            seen[name] = (error, other.is_closed() if error == UNIMPLEMENTED else None)
    return seen


@case
def records_that_are_cut_short(link, root):
    seen = {}
    for kind in (EXISTS, GET_DATA, GET_ACL, GET_CHILDREN, GET_CHILDREN2, SYNC, CHECK_WATCHES, REMOVE_WATCHES, ADD_WATCH,
                 GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES, SET_WATCHES2, MULTI_READ):  # fmt: skip
        with fresh(link) as other:
            seen[kind] = other.error(kind, i32(20) + b"/")
    return seen


@case
def writes_that_are_cut_short(link, root):
    """The last thing done to Apache's: it gives one zxid to two records."""
    seen = {}
    for kind in (CREATE, CREATE2, CREATE_TTL, CREATE_CONTAINER, DELETE, SET_DATA, SET_ACL, MULTI):
        with fresh(link) as other:
            seen[kind] = other.error(kind, i32(20) + b"/")
    return seen


@case(**{"a byte too long": (-8, 0)})
def requests_at_the_limit(link, root):
    """An oversize request has its answer and its session with us."""
    seen = {}
    room = 0xFFFFF - 8 - len(buf(f"{root}/x")) - len(buf(b"")) - len(acl(ANYONE)) - 4
    for name, length in (("as long as may be", room), ("a byte too long", room + 1)):
        with fresh(link) as other:
            first = other.error(CREATE, create(f"{root}/x", bytes(length)))
            seen[name] = (first, other.error(DELETE, buf(f"{root}/x") + i32(-1)) if first == 0 else other.error(PING))
    return seen


# ---- creating ----


@case(**{"createContainer 0": BAD_ARGUMENTS, "createContainer 1": BAD_ARGUMENTS, "createContainer 2": BAD_ARGUMENTS,
         "createContainer 3": BAD_ARGUMENTS})
def flags_of_every_create(link, root):
    """Any flags make a container where Apache is asked for one. One combination of createTTL ends Apache's for good."""
    seen = {}
    number = 0
    for name, kind in {"create": CREATE, "create2": CREATE2, "createContainer": CREATE_CONTAINER}.items():
        for flags in (0, 1, 2, 3, 4, 5, 6, 7, -1, 99):
            number += 1
            xid, zxid, error, body = link.ask(kind, create(f"{root}/{number}", flags=flags))
            seen[f"{name} {flags}"] = error if error or kind == CREATE else (0, stat(body))
    return seen


@case
def times_to_live(link, root):
    seen = {}
    for number, (flags, ttl) in enumerate(
        [(5, 1), (5, 0), (5, -1), (5, 0xFFFFFFFFFF), (5, 1 << 40), (5, -(1 << 62)), (6, 5000), (0, 5), (1, 5), (7, 5), (4, 5)]
    ):
        error = link.ask(CREATE_TTL, create(f"{root}/{number}-", flags=flags) + i64(ttl))[2]
        seen[flags, ttl] = error
    return seen


@case
def ttl_flags_without_a_ttl(link, root):
    return {flags: link.error(CREATE, create(f"{root}/{flags}", flags=flags)) for flags in (5, 6)}


@case(id=-114)
def what_is_null(link, root):
    seen = {
        "path": link.error(CREATE, create(None)),
        "data": link.error(CREATE, create(f"{root}/data", None)),
        "acl": link.error(CREATE, create(f"{root}/acl", entries=None)),
        "empty acl": link.error(CREATE, create(f"{root}/acl", entries=[])),
        "scheme": link.error(CREATE, create(f"{root}/acl", entries=[(31, None, "anyone")])),
        "id": link.error(CREATE, create(f"{root}/acl", entries=[(31, "world", None)])),
        "id of auth": link.error(CREATE, create(f"{root}/acl", entries=[(31, "auth", None)])),
        "deleted": link.error(DELETE, buf(None) + i32(-1)),
        "set": link.error(SET_DATA, buf(None) + buf(b"") + i32(-1)),
        "acl set": link.error(SET_ACL, buf(None) + acl(ANYONE) + i32(-1)),
        "set to": link.error(SET_DATA, buf(root) + buf(None) + i32(-1)),
    }
    seen["null data"] = link.ask(GET_DATA, buf(f"{root}/data") + b"\0")[3][:4]
    seen["set null"] = link.ask(GET_DATA, buf(root) + b"\0")[3][:4]
    for kind in (EXISTS, GET_DATA, GET_CHILDREN, GET_CHILDREN2):
        with fresh(link) as other:
            seen[kind] = other.error(kind, buf(None) + b"\0")
    for kind in (GET_ACL, GET_ALL_CHILDREN_NUMBER, SYNC, GET_EPHEMERALS):
        with fresh(link) as other:
            seen[kind] = other.error(kind, buf(None))
    return seen


PATHS = [
    "", "/", "//", "x", "x/y", "{}/", "{}//a", "{}/a/", "{}/.", "{}/..", "{}/./a", "{}/../a", "{}/...", "{}/.a", "{}/a.",
    "{}/a\0b", "{}/\x01", "{}/\x1f", "{}/\x7f", "{}/\x9f", "{}/\xa0", "{}/é", "{}/\ud7ff", "{}/\ue000", "{}/\uf8ff",
    "{}/\uf900", "{}/\uffef", "{}/\ufff0", "{}/\uffff", "{}/😀", "{}/ ", "{}/a b", "/zookeeper", "/zookeeper/",
    "/zookeeper/config", "/zookeeper/quota", "/zookeeper/x/y", "{}/none/x",
]  # fmt: skip


@case
def paths(link, root):
    """Every path with every request that names one."""
    seen = {}
    for path in PATHS:
        name = path
        path = path.format(root).encode("utf-8", "surrogatepass")
        for kind, record in {
            EXISTS: buf(path) + b"\0",
            GET_DATA: buf(path) + b"\0",
            GET_CHILDREN: buf(path) + b"\0",
            GET_CHILDREN2: buf(path) + b"\0",
            GET_ACL: buf(path),
            GET_ALL_CHILDREN_NUMBER: buf(path),
            GET_EPHEMERALS: buf(path),
            SYNC: buf(path),
            SET_DATA: buf(path) + buf(b"") + i32(77),
            SET_ACL: buf(path) + acl(ANYONE) + i32(77),
            DELETE: buf(path) + i32(77),
            CREATE: create(path),
        }.items():
            seen[name, kind] = link.error(kind, record)
        seen[name, "again"] = link.error(CREATE, create(path))
        seen[name, "sequential"] = link.error(CREATE, create(path, flags=2)) if path != b"/" else None
        seen[name, "check"] = link.ask(MULTI, multi((CHECK, buf(path) + i32(-1))))[2:]
        seen[name, "delete"] = link.error(DELETE, buf(path) + i32(-1))
    return seen


def text(body):
    """The text that a body begins with."""
    return body[4 : 4 + struct.unpack_from(">i", body)[0]] if body else None


def texts(body):
    """A list of texts, in order."""
    count, at, found = struct.unpack_from(">i", body)[0], 4, []
    for _ in range(count):
        found.append(text(body[at:]))
        at += 4 + len(found[-1])
    return sorted(found)


@case
def sequences(link, root):
    """A deleted child counts, and so do those without a number."""
    made = []
    for flags, name in [(2, "a"), (0, "b"), (2, "a"), (3, ""), (2, "c/"), (6, "t"), (2, "a")]:
        kind, more = (CREATE_TTL, i64(1 << 20)) if flags == 6 else (CREATE, b"")
        xid, zxid, error, body = link.ask(kind, create(f"{root}/{name}", flags=flags) + more)
        made.append((error, text(body)))
        if name == "b":
            link.ask(DELETE, buf(f"{root}/b") + i32(-1))
    return {"made": made, "parent": stat(link.ask(EXISTS, buf(root) + b"\0")[3])}


@case
def precedence(link, root):
    """What is refused for the first of several reasons."""
    link.ask(CREATE, create(f"{root}/closed", entries=[(16, "world", "anyone")]))
    link.ask(CREATE, create(f"{root}/e", flags=1))
    link.ask(CREATE, create(f"{root}/p"))
    link.ask(CREATE, create(f"{root}/p/c"))
    bad = [(31, "nobody", "x")]
    asks = {
        "flags before path": (CREATE, create("x", flags=99)),
        "path before acl": (CREATE, create("x", entries=bad)),
        "acl before parent": (CREATE, create(f"{root}/none/x", entries=bad)),
        "parent before syntax": (CREATE, create(f"{root}/none/../x")),
        "auth before syntax": (CREATE, create(f"{root}/closed/..")),
        "auth before existence": (CREATE, create(f"{root}/closed/x")),
        "syntax before existence": (CREATE, create(f"{root}/p/")),
        "existence before ephemeral": (CREATE, create(f"{root}/e/x")),
        "exists": (CREATE, create(f"{root}/p")),
        "delete: auth before node": (DELETE, buf(f"{root}/closed/none") + i32(-1)),
        "delete: node before version": (DELETE, buf(f"{root}/none") + i32(7)),
        "delete: version before children": (DELETE, buf(f"{root}/p") + i32(7)),
        "delete: children": (DELETE, buf(f"{root}/p") + i32(0)),
        "set: auth before version": (SET_DATA, buf(f"{root}/closed") + buf(b"") + i32(7)),
        "set: version": (SET_DATA, buf(f"{root}/p") + buf(b"") + i32(7)),
        "set: version below -1": (SET_DATA, buf(f"{root}/p") + buf(b"") + i32(-2)),
        "acl: acl before node": (SET_ACL, buf(f"{root}/none") + acl(bad) + i32(-1)),
        "acl: node": (SET_ACL, buf(f"{root}/none") + acl(ANYONE) + i32(-1)),
        "acl: version": (SET_ACL, buf(f"{root}/p") + acl(ANYONE) + i32(7)),
        "get: auth": (GET_DATA, buf(f"{root}/closed") + b"\0"),
        "exists: auth": (EXISTS, buf(f"{root}/closed") + b"\0"),
        "children: auth": (GET_CHILDREN, buf(f"{root}/closed") + b"\0"),
        "acl read by an admin": (GET_ACL, buf(f"{root}/closed")),
        "reconfig": (RECONFIG, buf("") + buf("") + buf("") + i64(-1)),
        "create below the configuration": (CREATE, create("/zookeeper/config/x")),
        "set the configuration": (SET_DATA, buf("/zookeeper/config") + buf(b"") + i32(-1)),
    }
    return {name: link.error(*ask) for name, ask in asks.items()}


# ---- several at once ----


def results(body):
    """Type, error and body of each result, bodies without what depends on the server."""
    found, at = [], 0
    while True:
        kind, done, error = struct.unpack_from(">i?i", body, at)
        at += 9
        if done:
            return found, kind, error, body[at:]
        if kind == -1:
            found.append((kind, error, body[at : at + 4]))
            at += 4
        elif kind in (1, 15):
            length = struct.unpack_from(">i", body, at)[0]
            found.append((kind, error, body[at + 4 : at + 4 + length]))
            at += 4 + length + (68 if kind == 15 else 0)
        elif kind == 5:
            found.append((kind, error, stat(body[at : at + 68])))
            at += 68
        elif kind in (4, 8):
            count = struct.unpack_from(">i", body, at)[0]
            at += 4
            if kind == 4:
                data = body[at : at + count]
                at += count
                found.append((kind, error, data, stat(body[at : at + 68])))
                at += 68
            else:
                names = []
                for _ in range(count):
                    length = struct.unpack_from(">i", body, at)[0]
                    names.append(body[at + 4 : at + 4 + length])
                    at += 4 + length
                found.append((kind, error, sorted(names)))
        else:
            found.append((kind, error))


def asked(link, kind, *ops, **more):
    xid, zxid, error, body = link.ask(kind, multi(*ops, **more))
    # Apache puts an empty list behind some errors.
    return error if error else results(body)


@case
def multis(link, root):
    a, b = f"{root}/a", f"{root}/b"
    make, drop = (CREATE, create(a)), (DELETE, buf(a) + i32(-1))
    seen = {
        "none": asked(link, MULTI),
        "no end": asked(link, MULTI, make, done=False),
        "all": asked(
            link, MULTI, make, (CREATE2, create(b)), (CREATE_CONTAINER, create(f"{root}/c", flags=4)),
            (CREATE_TTL, create(f"{root}/t", flags=5) + i64(9999)), (SET_DATA, buf(a) + buf(b"x") + i32(0)),
            (CHECK, buf(a) + i32(1)), (CREATE, create(f"{a}/s", flags=2)), (CREATE, create(f"{a}/s", flags=2)),
            (CREATE, create(f"{a}/e", flags=1)), (DELETE, buf(b) + i32(0)),
        ),
        "the second fails": asked(link, MULTI, (CREATE, create(b)), make, (CREATE, create(f"{b}/x"))),
        "nothing of it": link.error(EXISTS, buf(b) + b"\0"),
        "not empty": asked(link, MULTI, drop),
        "with a read": asked(link, MULTI, (CREATE, create(b)), (GET_DATA, buf(a) + b"\0")),
        "a read first": asked(link, MULTI, (GET_DATA, buf(a) + b"\0"), (CREATE, create(b))),
        "acl": asked(link, MULTI, (SET_ACL, buf(a) + acl(ANYONE) + i32(-1))),
        "sync": asked(link, MULTI, (SYNC, buf(a))),
        "nested": asked(link, MULTI, (MULTI, multi())),
        "unknown": asked(link, MULTI, (77, b"")),
        "flags": asked(link, MULTI, (CREATE, create(b, flags=44))),
        "null path": asked(link, MULTI, (CREATE, create(None))),
        "null path to check": asked(link, MULTI, (CHECK, buf(None) + i32(-1))),
        "bad acl": asked(link, MULTI, (CREATE, create(b, entries=[]))),
        "deleted and made": asked(link, MULTI, (CREATE, create(b)), (DELETE, buf(b) + i32(-1)), (CREATE, create(b))),
        "an ephemeral's child": asked(link, MULTI, (CREATE, create(f"{root}/e", flags=1)), (CREATE, create(f"{root}/e/x"))),
        "parent": stat(link.ask(EXISTS, buf(root) + b"\0")[3]),
    }  # fmt: skip
    return seen


REFUSED = ([(-1, BAD_ARGUMENTS, i32(BAD_ARGUMENTS))], -1, -1, b"")


@case(**{f"{CREATE_CONTAINER} {flags} None": REFUSED for flags in range(4)},
      **{f"{CREATE_TTL} {flags} {ttl}": REFUSED for flags in range(5) for ttl in (0, 5000)})  # fmt: skip
def flags_in_multis(link, root):
    seen = {}
    number = 0
    for kind in (CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL):
        for flags in (0, 1, 2, 3, 4, 5, 6, 7, -1, 99):
            for ttl in (-1, 0, 5000) if kind == CREATE_TTL else (None,):
                # Apache's ends for good after this one.
                if kind == CREATE_TTL and flags < 5 and ttl == -1:
                    continue
                number += 1
                link.ask(CREATE, create(f"{root}/{number}"))
                record = create(f"{root}/{number}/x", flags=flags) + (b"" if ttl is None else i64(ttl))
                seen[f"{kind} {flags} {ttl}"] = asked(link, MULTI, (kind, record))
    return seen


@case
def multi_reads(link, root):
    link.ask(CREATE, create(f"{root}/a", b"data"))
    link.ask(CREATE, create(f"{root}/shut", entries=[(2, "world", "anyone")]))
    get, names = (GET_DATA, buf(f"{root}/a") + b"\0"), (GET_CHILDREN, buf(root) + b"\0")
    none, shut = (GET_DATA, buf(f"{root}/none") + b"\0"), (GET_CHILDREN, buf(f"{root}/shut") + b"\0")
    seen = {
        "none": asked(link, MULTI_READ),
        "both": asked(link, MULTI_READ, get, names),
        "refusals": asked(link, MULTI_READ, none, get, shut, names),
        "exists": asked(link, MULTI_READ, (EXISTS, buf(root) + b"\0")),
        "getChildren2": asked(link, MULTI_READ, (GET_CHILDREN2, buf(root) + b"\0")),
        "a write": asked(link, MULTI_READ, (CREATE, create(f"{root}/b"))),
        "a write behind a read": asked(link, MULTI_READ, get, (CREATE, create(f"{root}/b"))),
        "watches": asked(link, MULTI_READ, (GET_DATA, buf(f"{root}/a") + b"\1"), (GET_CHILDREN, buf(root) + b"\1")),
        "set": link.error(SET_DATA, buf(f"{root}/a") + buf(b"") + i32(-1)),
    }
    link.ask(CREATE, create(f"{root}/new"))
    seen["events"] = link.events
    return seen


# ---- watches ----


@case
def watches_of_every_kind(link, root):
    """What each kind is told of each change, one connection for each kind."""
    top, node, child = f"{root}/top", f"{root}/top/node", f"{root}/top/node/child"
    kinds = {
        "data": lambda other: other.ask(GET_DATA, buf(node) + b"\1"),
        "exists": lambda other: other.ask(EXISTS, buf(node) + b"\1"),
        "exists none": lambda other: other.ask(EXISTS, buf(f"{node}/child") + b"\1"),
        "data none": lambda other: other.ask(GET_DATA, buf(f"{node}/child") + b"\1"),
        "children": lambda other: other.ask(GET_CHILDREN, buf(node) + b"\1"),
        "children2": lambda other: other.ask(GET_CHILDREN2, buf(node) + b"\1"),
        "parent's children": lambda other: other.ask(GET_CHILDREN, buf(top) + b"\1"),
        "persistent": lambda other: other.ask(ADD_WATCH, buf(node) + i32(0)),
        "recursive": lambda other: other.ask(ADD_WATCH, buf(top) + i32(1)),
        "both": lambda other: [other.ask(ADD_WATCH, buf(node) + i32(mode)) for mode in (0, 1)],
        "twice": lambda other: [other.ask(GET_DATA, buf(node) + b"\1"), other.ask(GET_CHILDREN, buf(node) + b"\1")],
        "all": lambda other: [
            other.ask(GET_DATA, buf(node) + b"\1"), other.ask(GET_CHILDREN, buf(node) + b"\1"),
            other.ask(ADD_WATCH, buf(node) + i32(0)), other.ask(ADD_WATCH, buf(top) + i32(1)),
        ],
    }  # fmt: skip
    link.ask(CREATE, create(top))
    link.ask(CREATE, create(node))
    others = {name: fresh(link) for name in kinds}
    for name, other in others.items():
        kinds[name](other)
    with fresh(link) as writer:
        writer.ask(SET_DATA, buf(node) + buf(b"x") + i32(-1))
        writer.ask(SET_ACL, buf(node) + acl(ANYONE) + i32(-1))
        writer.ask(CREATE, create(child))
        writer.ask(SET_DATA, buf(child) + buf(b"x") + i32(-1))
        writer.ask(DELETE, buf(child) + i32(-1))
        writer.ask(MULTI, multi((CREATE, create(child)), (SET_DATA, buf(node) + buf(b"y") + i32(-1))))
        writer.ask(CREATE, create(f"{node}/e", flags=1))
        writer.ask(CLOSE_SESSION)
    link.ask(DELETE, buf(child) + i32(-1))
    link.ask(DELETE, buf(node) + i32(-1))
    link.ask(CREATE, create(node))
    seen = {}
    for name, other in others.items():
        other.ask(SYNC, buf("/"))
        seen[name] = other.events
        other.socket.close()
    return seen


@case
def events_before_their_own_reply(link, root):
    link.ask(GET_DATA, buf(root) + b"\1")
    link.ask(SET_DATA, buf(root) + buf(b"x") + i32(-1))
    return {"events": link.events}


@case
def watches_are_checked_and_removed(link, root):
    seen = {}
    sets = {
        "data": (GET_DATA, b"\1"),
        "children": (GET_CHILDREN, b"\1"),
        "persistent": (ADD_WATCH, i32(0)),
        "recursive": (ADD_WATCH, i32(1)),
    }
    for name, (kind, how) in sets.items():
        for which in (0, 1, 2, 3, 4, 5, 6, -1):
            with fresh(link) as other:
                other.ask(kind, buf(root) + how)
                record = buf(root) + i32(which)
                seen[name, which] = [
                    other.error(kind, record) for kind in (CHECK_WATCHES, REMOVE_WATCHES, CHECK_WATCHES, REMOVE_WATCHES)
                ]
                other.ask(SET_DATA, buf(root) + buf(b"") + i32(-1))
                seen[name, which].append(other.events)
    seen["modes"] = [link.ask(ADD_WATCH, buf(f"{root}/any") + i32(mode))[2:] for mode in (0, 1, 2, -1)]
    seen["odd path"] = link.ask(ADD_WATCH, buf("no//path") + i32(0))[2:]
    return seen


def catch_up(zxid, *lists):
    return i64(zxid) + b"".join(vec(paths) for paths in lists)


@case(**{"null lists": (0, [], [])})
def watches_are_set_again(link, root):
    """What was missed is told at once, the rest is watched."""
    old, new, none, shut = (f"{root}/{name}" for name in ("old", "new", "none", "shut"))
    link.ask(CREATE, create(old))
    link.ask(CREATE, create(shut, entries=[(30, "world", "anyone")]))
    between = link.ask(SYNC, buf("/"))[1]
    link.ask(CREATE, create(new))
    link.ask(CREATE, create(f"{old}/child"))
    seen = {}
    for name, kind, lists in [
        ("data", SET_WATCHES, ([old, new, none, shut], [], [])),
        ("exist", SET_WATCHES, ([], [old, new, none, shut], [])),
        ("child", SET_WATCHES, ([], [], [old, new, none, shut])),
        ("persistent", SET_WATCHES2, ([], [], [], [old, new, none], [])),
        ("recursive", SET_WATCHES2, ([], [], [], [], [old, new, none])),
        ("all", SET_WATCHES2, ([old], [none], [new], [old], [new])),
        ("null lists", SET_WATCHES2, (None, None, None, None, None)),
        ("old form of the new", SET_WATCHES2, ([old], [], [])),
        ("odd paths", SET_WATCHES, (["", "x", "//"], ["", "x"], [""])),
    ]:
        with fresh(link) as other:
            error = other.error(kind, catch_up(between, *lists), xid=-8)
            at_once = list(other.events)
            for path in (old, new):
                link.ask(SET_DATA, buf(path) + buf(b"x") + i32(-1))
            link.ask(CREATE, create(none))
            link.ask(DELETE, buf(none) + i32(-1))
            later = "closed"
            if error != "closed" and other.error(PING) == 0:
                other.ask(SYNC, buf("/"))
                later = other.events[len(at_once) :]
            seen[name] = (error, at_once, later)
    return seen


@case
def events_are_for_those_who_may_read(link, root):
    """One who may not read is not told, and a watch that fires once is gone all the same."""
    with fresh(link) as other:
        other.ask(ADD_WATCH, buf(root) + i32(1))
        other.ask(EXISTS, buf(f"{root}/x") + b"\1")
        hidden = [(30, "world", "anyone")]
        link.ask(CREATE, create(f"{root}/x", entries=hidden))
        link.ask(SET_DATA, buf(f"{root}/x") + buf(b"") + i32(-1))
        link.ask(SET_ACL, buf(f"{root}/x") + acl(ANYONE) + i32(-1))
        link.ask(SET_DATA, buf(f"{root}/x") + buf(b"") + i32(-1))
        link.ask(SET_ACL, buf(f"{root}/x") + acl(hidden) + i32(-1))
        link.ask(DELETE, buf(f"{root}/x") + i32(-1))
        other.ask(SYNC, buf("/"))
        return {"events": other.events}


# ---- who may do what ----


@case(**{"digest None": (-4, 0, 0, b"", [(b"digest", b""), (b"ip", b"127.0.0.1")])})
def authentication(link, root):
    seen = {}
    for scheme, token in [
        ("digest", b"user:password"), ("digest", b"user"), ("digest", b""), ("digest", b"a:b:c"), ("digest", None),
        ("digest", b":"), ("digest", b"\xff\xfe:x"), ("digest", b"super:test"), ("ip", b"1.2.3.4"), ("ip", b""),
        ("world", b"anyone"), ("auth", b""), ("super", b""), ("sasl", b"x"), ("x509", b"x"), ("", b""), (None, b""),
        ("nobody", b"x"),
    ]:  # fmt: skip
        name = f"{scheme} {token and token.decode(errors='replace')}"
        with fresh(link) as other:
            try:
                xid, zxid, error, body = other.ask(AUTH, i32(0) + buf(scheme) + buf(token), xid=-4)
            except Closed:
                seen[name] = "closed"
                continue
            who = None if error else sorted_ids(other.ask(WHO_AM_I)[3])
            seen[name] = (xid, zxid, error, body, other.is_closed() if error else who)
    with fresh(link) as other:
        for token in (b"one:x", b"two:x", b"one:x"):
            other.ask(AUTH, i32(0) + buf("digest") + buf(token), xid=-4)
        seen["several"] = sorted_ids(other.ask(WHO_AM_I)[3])
    return seen


def sorted_ids(body):
    count, at, found = struct.unpack_from(">i", body)[0], 4, []
    for _ in range(count):
        pair = []
        for _ in range(2):
            length = struct.unpack_from(">i", body, at)[0]
            pair.append(body[at + 4 : at + 4 + max(length, 0)])
            at += 4 + max(length, 0)
        found.append(tuple(pair))
    return sorted(found)


@case
def sasl_where_there_is_none(link, root):
    with fresh(link) as other:
        return {"answer": other.ask(SASL, buf(b""))[2:]}


BOB = "bob:xVCoBBnsWAWAiQbFiWJz6HaM1mE="


@case
def ids_in_lists(link, root):
    """Which ids a list may name; what is kept of it."""
    seen = {}
    for number, entries in enumerate([
        [(31, "world", "anyone")], [(31, "world", "someone")], [(31, "world", "")],
        [(31, "ip", "127.0.0.1")], [(31, "ip", "127.0.0.1/8")], [(31, "ip", "127.0.0.1/33")], [(31, "ip", "127.0.0.1/-1")],
        [(31, "ip", "127.0.0")], [(31, "ip", "nowhere")], [(31, "ip", "")], [(31, "ip", "256.0.0.1")],
        [(31, "ip", "127.0.0.1/x")], [(31, "ip", "127.0.0.1/8/9")],
        [(31, "digest", BOB)], [(31, "digest", "bob")], [(31, "digest", "bob:")], [(31, "digest", ":x")],
        [(31, "digest", "a:b:c")], [(31, "digest", "")],
        [(31, "auth", "")], [(31, "auth", "ignored")], [(31, "super", "")], [(31, "super", BOB)], [(31, "sasl", "bob")],
        [(31, "x509", "CN=bob")], [(31, "nobody", "x")], [(31, "", "")], [(31, "World", "anyone")],
        [(0, "world", "anyone")], [(99, "world", "anyone")], [(-1, "world", "anyone")],
        [(1, "world", "anyone"), (1, "world", "anyone")], [(1, "world", "anyone"), (2, "world", "anyone")],
        [(1, "world", "anyone"), (2, "digest", BOB), (1, "world", "anyone")],
        [(1, "world", "anyone"), (31, "nobody", "x")],
    ]):  # fmt: skip
        path = f"{root}/{number}"
        error = link.error(CREATE, create(path, entries=entries))
        kept = link.ask(GET_ACL, buf(path))[3][:-68] if error == 0 else None
        seen[str(entries)] = (error, kept)
    return seen


@case
def rights(link, root):
    """Each right alone, and what may be done with it."""
    seen = {}
    for perms in (0, 1, 2, 4, 8, 16, 31):
        path = f"{root}/{perms}"
        link.ask(CREATE, create(path))
        link.ask(CREATE, create(f"{path}/old"))
        link.ask(SET_ACL, buf(path) + acl([(perms, "world", "anyone"), (31, "digest", BOB)]) + i32(-1))
        seen[perms] = {
            name: link.error(*ask)
            for name, ask in {
                "exists": (EXISTS, buf(path) + b"\0"),
                "get": (GET_DATA, buf(path) + b"\0"),
                "children": (GET_CHILDREN2, buf(path) + b"\0"),
                "count": (GET_ALL_CHILDREN_NUMBER, buf(path)),
                "acl": (GET_ACL, buf(path)),
                "set": (SET_DATA, buf(path) + buf(b"") + i32(-1)),
                "create": (CREATE, create(f"{path}/new")),
                "delete": (DELETE, buf(f"{path}/old") + i32(-1)),
                "check": (MULTI, multi((CHECK, buf(path) + i32(-1)))),
                "set acl": (SET_ACL, buf(path) + acl([(perms, "world", "anyone")]) + i32(9)),
            }.items()
        }
        body = link.ask(GET_ACL, buf(path))[3]
        seen[perms]["list"] = body[:-68] if body else None
    return seen


@case
def the_super_user(link, root):
    path = f"{root}/shut"
    link.ask(CREATE, create(path, entries=[(16, "digest", BOB)]))
    with fresh(link) as other:
        other.ask(AUTH, i32(0) + buf("digest") + buf(b"super:test"), xid=-4)
        return {
            "get": other.error(GET_DATA, buf(path) + b"\0"),
            "acl": other.ask(GET_ACL, buf(path))[3][:-68],
            "config": other.error(SET_DATA, buf("/zookeeper/config") + buf(b"") + i32(7)),
            "mine": other.error(CREATE, create(f"{root}/mine", entries=[(31, "auth", "")])),
            "of mine": other.ask(GET_ACL, buf(f"{root}/mine"))[3][:-68],
            "delete": other.error(DELETE, buf(path) + i32(-1)),
        }


@case
def ephemerals_are_listed(link, root):
    for name in ("a", "ab", "b"):
        link.ask(CREATE, create(f"{root}/{name}", flags=1))
    seen = {}
    for prefix in ("", " ", "/", root, f"{root}/a", f"{root}/ab", f"{root}/c", "x", "//"):
        xid, zxid, error, body = link.ask(GET_EPHEMERALS, buf(prefix))
        seen[prefix] = (error, texts(body))
    return seen


@case
def descendants_are_counted(link, root):
    for path in ("a", "a/b", "a/b/c", "ab"):
        link.ask(CREATE, create(f"{root}/{path}"))
    return {path: link.ask(GET_ALL_CHILDREN_NUMBER, buf(root + path))[2:] for path in ("", "/a", "/a/b", "/ab", "/none")}


# ---- quotas ----


NO_LIMIT = ([0, 0], [0, 0, 0, 0, 0, ([(1, 0, b"/quotas/d"), (1, 0, b"/quotas/e")], -1, -1, b"")],
            i32(15) + b"count=6,bytes=7", {"version": (0, 0, 0), "owned": False, "length": 15, "children": 0})  # fmt: skip


@case(**dict.fromkeys(["count=,bytes=", "nonsense", "count=x,bytes=1"], NO_LIMIT))
def quotas(link, root):
    """Limits are text in znodes; what is counted is text, too.

    A text that is no quota makes Apache's refuse every write below it; to ours it is no limit.
    """
    limits, stats = f"/zookeeper/quota{root}/zookeeper_limits", f"/zookeeper/quota{root}/zookeeper_stats"
    seen = {}
    for text in [
        "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3", "count=2,bytes=5", "count=2,bytes=5=;byteHardLimit=8",
        "count=,bytes=", "countHardLimit=2", "bytes=3", "nonsense", "", "count=x,bytes=1", "count=1,,bytes=1;;countHardLimit=4",
    ]:  # fmt: skip
        link.ask(CREATE, create(f"/zookeeper/quota{root}"))
        made = [link.error(CREATE, create(limits, text)), link.error(CREATE, create(stats))]
        steps = [
            link.error(CREATE, create(f"{root}/a", b"12")),
            link.error(CREATE, create(f"{root}/b", b"123456")),
            link.error(CREATE, create(f"{root}/c")),
            link.error(SET_DATA, buf(f"{root}/a") + buf(b"1234567890") + i32(-1)),
            link.error(SET_DATA, buf(f"{root}/a") + buf(b"1") + i32(-1)),
            asked(link, MULTI, (CREATE, create(f"{root}/d")), (CREATE, create(f"{root}/e"))),
        ]
        body = link.ask(GET_DATA, buf(stats) + b"\0")[3]
        seen[text] = (made, steps, body[:-68], stat(body) if body else None)
        for path in (f"{root}/a", f"{root}/b", f"{root}/c", f"{root}/d", f"{root}/e", limits, stats):
            link.ask(DELETE, buf(path) + i32(-1))
    return seen


# ---- four-letter words ----


def shape(text):
    """The lines of an answer with all numbers, ids and names of the machine masked."""
    import re

    text = re.sub(r"0x[0-9a-f]+", "HEX", text)
    text = re.sub(r"127\.0\.0\.1:\d+|/127\.0\.0\.1|/0:0:0:0:0:0:0:1:\d+", "ADDRESS", text)
    return re.sub(r"-?\d+(\.\d+)?", "N", text)


@case
def words(link, root):
    seen = {}
    for word in ("ruok", "isro", "conf", "crst", "srst", "gtmk", "nope", "RUOK", "ruo ", "wchs", "dirs", "stmk", "hash", "lsnr"):
        with Link(link.server) as other:
            # Apache's reads the mask with the word, or not.
            other.socket.sendall(word.encode() + (bytes(8) if word == "stmk" else b""))
            if word == "ruo ":
                seen[word] = other.is_closed()
                continue
            text = b""
            while part := other.socket.recv(65536):
                text += part
            seen[word] = shape(text.decode())
    # Folders and the id of a server differ.
    seen["conf"] = [line.split("=")[0] for line in seen["conf"].splitlines()]
    return seen


@case
def words_that_list_lines(link, root):
    seen = {}
    link.ask(EXISTS, buf(f"{root}/watched") + b"\1")
    for word in ("srvr", "stat", "mntr", "envi", "cons", "dump", "wchc", "wchp"):
        lines = shape(link.server.words(word)).splitlines()
        if word == "mntr":
            names = (line.split("\t")[0] for line in lines)
            lines = sorted(set(names) - {"zk_writes_stopped_disk_full"})
        if word in ("cons", "stat"):
            lines = sorted(lines)
        if word == "dump":
            # Who expires when, and which ephemerals other cases left.
            lines = [line for line in lines if not line.startswith("\t") and " expire " not in line]
        lines = [line for line in lines if not line.startswith(("Zookeeper version: ", "zookeeper.version="))]
        if word == "envi":
            lines = [line.split("=")[0] for line in lines]
        seen[word] = lines
    return seen
