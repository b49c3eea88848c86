"""python -m e2e.faults: three members under faults, and a judgement of their clients' histories.

Needs root, iproute2, strace, and the judge (e2e/peers/build.sh porcupine).
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from e2e.faults import network, order, plan
from e2e.faults.client import Client
from e2e.faults.member import Member
from e2e.harness import paths, zkwire
from e2e.harness.wait import until
from e2e.harness.zkwire import STAT, Link, buf

CLIENTS = 6
SMALL_DISK = 48 << 20


def main():
    parser = argparse.ArgumentParser(prog="python -m e2e.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long faults go on (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="which faults when; the clients' work (any)")
    parser.add_argument("--apache", type=int, default=0, metavar="N", help="members that are Apache's at first (%(default)s)")
    parser.add_argument("--swap", action="store_true", help="members also change their make, over their files")
    parser.add_argument("--keep", type=pathlib.Path, help="a new folder for the members' logs and the history")
    args = parser.parse_args()
    seed = random.randrange(1 << 32) if args.seed is None else args.seed
    say(f"seed {seed}")
    network.enter()
    with tempfile.TemporaryDirectory(prefix="troupe-faults-") as folder:
        folder = args.keep or pathlib.Path(folder)
        folder.mkdir(exist_ok=True)
        try:
            clients, found, done = play(folder, args, seed)
        except BaseException:
            for log in sorted(folder.glob("member-*.log")):
                print(f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
            raise
        wrong = list(order.violations(clients, found)) + list(linearizable(clients, folder / "history.json"))
    for line in wrong[:40]:
        print(f"WRONG: {line}")
    counts = ", ".join(f"{count}x {name}" for name, count in sorted(collections.Counter(done).items()))
    known = sum(did.outcome is not None for client in clients for did in client.did)
    print(
        f"{len(done)} faults ({counts}); {sum(len(client.did) for client in clients)} transactions, {known} of them answered; "
        f"{sum(len(client.saw) for client in clients)} answers; {sum(client.reconnections for client in clients)} connections; "
        f"{longest_pause(clients):.2f} s at most without an acknowledged one; {len(wrong)} violations"
    )
    sys.exit(1 if wrong else 0)


def play(folder, args, seed):
    """What the clients did, what is there at the end, and the faults."""
    hosts = [network.Host(number) for number in (1, 2, 3)]
    members, clients = [], []
    try:
        for number, host in enumerate(hosts, 1):
            kind = "apache" if number <= args.apache else "troupe"
            members.append(Member(number, host, folder / f"member-{number}", kind, SMALL_DISK if number == 3 else None))
        for member in members:
            member.servers = {f"server.{other.number}": f"{other.host}:2888:3888" for other in members}
            member.start()
        until("all members serve", lambda: all(member.serves() for member in members), limit=120)
        began = time.monotonic()
        clients = [Client(number, members, seed, began) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            done = plan.carry_out(members, args.seconds, seed, args.swap, say)
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join()
        for client in clients:
            client.stop()
        return clients, alike(members, clients), done
    finally:
        for member in members:
            member.end()
        for client in clients:
            if client.link:
                client.link.socket.close()
        for host in hosts:
            host.end()


def longest_pause(clients):
    """Seconds between two acknowledged transactions, of whichever clients."""
    times = sorted(did.ret for client in clients for did in client.did if did.outcome)
    return max((later - one for one, later in zip(times, times[1:])), default=0) / 1e9


def alike(members, clients):
    """What all members have, by path, once they are in step: (mzxid, version, value). Sessions live to the end."""
    trees = [until(f"member {member.number} answers", lambda: tree(member), limit=60) for member in members]
    for member, other in zip(members[1:], trees[1:]):
        differ = {path for path in trees[0].keys() | other.keys() if trees[0].get(path) != other.get(path)}
        assert not differ, f"members 1 and {member.number} differ in {sorted(differ)[:5]}"
    for client in clients:
        owner = trees[0].get(f"/alive-{client.number}", (0, 0, "", 0))[3]
        assert owner == client.session, f"client {client.number}'s ephemeral is {owner:#x}'s, not {client.session:#x}'s"
    return trees[0]


def tree(member):
    try:
        with Link(member, timeout=10) as link:
            if link.open() is None:
                return None
            link.ask(zkwire.SYNC, buf("/"))
            _, _, _, body = link.ask(zkwire.GET_CHILDREN, buf("/") + b"\0")
            found = {}
            for name in zkwire.names(body)[0]:
                _, _, error, body = link.ask(zkwire.GET_DATA, buf(f"/{name}") + b"\0")
                if error == 0:
                    _, mzxid, _, _, version, _, _, owner, *_ = STAT.unpack(body[-STAT.size :])
                    found[f"/{name}"] = (mzxid, version, body[4 : -STAT.size].decode(), owner)
            link.ask(zkwire.CLOSE_SESSION)
            return found
    except (OSError, zkwire.Closed):
        return None


def linearizable(clients, file):
    """What porcupine finds against it."""
    with open(file, "w") as out:
        for client in clients:
            for did in client.did:
                line = {
                    "group": did.group, "client": did.client, "call": did.call, "return": did.ret,
                    "steps": did.steps, "outcome": did.outcome, "zxid": did.zxid,
                }  # fmt: skip
                out.write(json.dumps(line) + "\n")
    with open(file) as history:
        judged = subprocess.run([paths.BIN / "porcupine"], stdin=history, capture_output=True, text=True)
    if judged.returncode != 0:
        yield from (judged.stdout + judged.stderr).splitlines()


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
