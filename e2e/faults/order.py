"""What histories must show beside linearizability: the order of transactions, of answers, of events, and their duration.

Each rule yields what breaks it, as text. The zxid of a transaction is its place in the one order that all members share.
"""

import bisect


def violations(clients, found):
    """`found`: what a read of everything gave at the end: (mzxid, version, value) by path, and the owner of ephemerals."""
    writes = written(clients)
    yield from time_goes_forward(clients)
    yield from versions_go_forward(clients)
    for client in clients:
        yield from session_goes_forward(client)
        yield from reads_are_of_their_moment(client, writes)
        yield from events_come_first(client)
        yield from what_was_made_is_there(client, found)
    yield from what_was_written_is_there(writes, found)


def written(clients):
    """(zxid, value) by path, of all acknowledged writes, in order."""
    writes = {}
    for client in clients:
        for did in client.did:
            if not did.zxid:
                continue
            for step in did.steps:
                if step["kind"] == "set":
                    writes.setdefault(f"/{did.group}-{step['register']}", []).append((did.zxid, step["value"]))
    for path in writes:
        writes[path].sort()
    return writes


def time_goes_forward(clients):
    """What ended before another began comes before it in the order of transactions."""
    spans = [(did.call, did.ret, did.zxid) for client in clients for did in client.did if did.zxid]
    spans += [(call, ret, zxid) for client in clients for _, zxid, call, ret in client.made if zxid]
    ends = sorted((ret, zxid) for _, ret, zxid in spans)
    newest, highest = 0, []
    for _, zxid in ends:
        newest = max(newest, zxid)
        highest.append(newest)
    for call, _, zxid in spans:
        before = bisect.bisect_left(ends, (call, 0))
        if before and highest[before - 1] >= zxid:
            yield f"transaction {zxid:#x} began after {highest[before - 1]:#x} was acknowledged"


def versions_go_forward(clients):
    """Each write of a znode left a higher version than those before it; else one of them is lost."""
    versions = {}
    for client in clients:
        for did in client.did:
            for step, version in zip(did.steps, (did.outcome or {}).get("versions", [])):
                if step["kind"] == "set":
                    versions.setdefault(f"/{did.group}-{step['register']}", []).append((did.zxid, version))
    for path, of_path in versions.items():
        of_path.sort()
        for (before, least), (zxid, version) in zip(of_path, of_path[1:]):
            if version <= least:
                yield f"{path} got version {version} at {zxid:#x}, after {least} at {before:#x}"


def session_goes_forward(client):
    """No answer is from before an earlier one, whichever members gave them."""
    newest = 0
    for saw in client.saw:
        if saw.zxid < newest:
            yield f"client {client.number} was answered at {saw.zxid:#x} after {newest:#x}"
        newest = max(newest, saw.zxid)


def reads_are_of_their_moment(client, writes):
    """A read at a zxid shows the newest write up to it."""
    for saw in client.saw:
        if not saw.path:
            continue
        of_path = writes.get(saw.path, [])
        newest = bisect.bisect_right(of_path, (saw.zxid, chr(0x10FFFF)))
        if saw.mzxid > saw.zxid:
            yield f"client {client.number} saw {saw.path} of {saw.mzxid:#x} at {saw.zxid:#x}"
        elif newest and of_path[newest - 1][0] > saw.mzxid:
            yield f"client {client.number} saw {saw.path} of {saw.mzxid:#x} at {saw.zxid:#x}, not {of_path[newest - 1][0]:#x}"
        elif newest and of_path[newest - 1][0] == saw.mzxid and of_path[newest - 1][1] != saw.value:
            yield f"client {client.number} saw {saw.value!r} in {saw.path} for {of_path[newest - 1][1]!r} of {saw.mzxid:#x}"


def events_come_first(client):
    """Who watches a znode is told of its change before a read shows it."""
    for saw in client.saw:
        if saw.watched and saw.mzxid > saw.watched:
            yield f"client {client.number} saw {saw.path} of {saw.mzxid:#x}, watched since {saw.watched:#x}, without an event"


def what_was_made_is_there(client, found):
    last = 0
    for path, zxid, _, _ in client.made:
        if zxid and path not in found:
            yield f"client {client.number} made {path} at {zxid:#x}, and it is gone"
        if zxid and zxid <= last:
            yield f"client {client.number} made {path} at {zxid:#x}, after one of {last:#x}"
        last = max(last, zxid)


def what_was_written_is_there(writes, found):
    for path, of_path in writes.items():
        zxid, value = of_path[-1]
        if path not in found or found[path][0] < zxid:
            yield f"{path} was written at {zxid:#x}, and at the end is {found.get(path)}"
        elif found[path][0] == zxid and found[path][2] != value:
            yield f"{path} was written {value!r} at {zxid:#x}, and at the end is {found[path]}"
