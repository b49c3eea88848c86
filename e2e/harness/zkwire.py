"""ZooKeeper's client protocol in bytes: requests that no client would send, answers as they come."""

import socket
import struct

ANYONE = [(31, "world", "anyone")]
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = range(1, 10)
PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = range(11, 19)
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = range(19, 23)
AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES2, ADD_WATCH, WHO_AM_I = range(100, 108)
CREATE_SESSION, CLOSE_SESSION = -10, -11


def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def buf(value):
    """Bytes or text behind their length; None is null."""
    if value is None:
        return i32(-1)
    value = value.encode() if isinstance(value, str) else value
    return i32(len(value)) + value


def vec(values, one=buf):
    return i32(-1) if values is None else i32(len(values)) + b"".join(one(value) for value in values)


def acl(entries):
    return vec(entries, lambda entry: i32(entry[0]) + buf(entry[1]) + buf(entry[2]))


def create(path, data=b"", entries=ANYONE, flags=0):
    return buf(path) + buf(data) + acl(entries) + i32(flags)


def multi(*ops, done=True):
    """Pairs of a type and a record."""
    body = b"".join(header(kind) + record for kind, record in ops)
    return body + (i32(-1) + b"\1" + i32(-1) if done else b"")


def header(kind):
    return i32(kind) + b"\0" + i32(-1)


def names(body, at=0):
    """A vector of names at that place, and where it ends."""
    (count,) = struct.unpack_from(">i", body, at)
    at += 4
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, at)
        found.append(body[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return found, at


def words(server, word, timeout=60):
    """The answer to a four-letter word, from a new connection."""
    with connect(server, timeout) as link:
        link.sendall(word.encode())
        return b"".join(iter(lambda: link.recv(65536), b"")).decode()


def connect(server, timeout):
    return socket.create_connection((getattr(server, "host", "127.0.0.1"), server.port), timeout=timeout)


class Closed(Exception):
    """The server has hung up."""


class Link:
    """One connection. `session` and `password` once it has a session."""

    def __init__(self, server, timeout=60):
        self.socket = connect(server, timeout)
        self.xid = 0
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def open(self, timeout=30_000, session=0, password=bytes(16), last_zxid=0, version=0, read_only=b"\0", more=b""):
        """What the server says to a connect request: timeout, session, password, what follows; None for hanging up."""
        self.send(i32(version) + i64(last_zxid) + i32(timeout) + i64(session) + buf(password) + read_only + more)
        try:
            answer = self.receive()
        except Closed:
            return None
        _, timeout, self.session, length = struct.unpack_from(">iiqi", answer)
        self.password = answer[20 : 20 + length]
        return timeout, self.session, self.password, answer[20 + length :]

    def send(self, frame, length=None):
        try:
            self.socket.sendall(i32(len(frame) if length is None else length) + frame)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def receive(self):
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def ask(self, kind, record=b"", xid=None):
        """The answer as (xid, zxid, error, body); events that come before it are kept in `events`."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send(i32(xid) + i32(kind) + record)
        return self.answer()

    def answer(self):
        while True:
            frame = self.receive()
            xid, zxid, error = struct.unpack_from(">iqi", frame)
            if xid != -1:
                return xid, zxid, error, frame[16:]
            kind, state, length = struct.unpack_from(">iii", frame, 16)
            self.events.append((kind, state, frame[28 : 28 + length].decode(), zxid == -1))

    def error(self, kind, record=b"", xid=None):
        """Only the error of the answer; "closed" when there is none but an end."""
        try:
            return self.ask(kind, record, xid)[2]
        except Closed:
            return "closed"

    def is_closed(self):
        """Whether the server hangs up, now that it has answered everything."""
        try:
            return self.socket.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            return True

    def _exactly(self, count):
        got = b""
        while len(got) < count:
            try:
                part = self.socket.recv(count - len(got))
            except ConnectionResetError:
                raise Closed from None
            if not part:
                raise Closed
            got += part
        return got


STAT = struct.Struct(">qqqqiiiqiiq")


def stat(body):
    """What of a Stat does not depend on when and by whom."""
    _, _, _, _, version, cversion, aversion, owner, length, children, _ = STAT.unpack(body[-STAT.size :])
    return {"version": (version, cversion, aversion), "owned": owner != 0, "length": length, "children": children}
