"""Ensemble objects and clients that write all the while."""

import json
import pathlib
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NodeExistsError, SessionExpiredError

from .wait import until


def manifest(kind, name, spec, api="troupe.dev/v1alpha1", **more):
    """An object of the namespace default, as kubectl reads it."""
    metadata = {"name": name, "namespace": "default"}
    body = {"spec": spec} if spec is not None else {}
    return json.dumps({"apiVersion": api, "kind": kind, "metadata": metadata, **body, **more})


class Load:
    """A client that makes numbered znodes one after the other and remembers which were acknowledged."""

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.acknowledged = []
        self.states = []
        self.ended = threading.Event()
        self.client = KazooClient(hosts=ensemble.connect_string(), timeout=60)
        self.client.add_listener(self.states.append)

    def __enter__(self):
        self.client.start(timeout=30)
        self.session = self.client.client_id[0]
        self.client.ensure_path("/load")
        self.client.create("/mine", ephemeral=True)
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join(90)
        try:
            if kind is None:
                self._check()
        finally:
            self.client.stop()
            self.client.close()

    def _write(self):
        number = 0
        while not self.ended.is_set():
            path = f"/load/{number:06}"
            try:
                self.client.create(path, str(number).encode())
                assert self.client.get(path)[0] == str(number).encode()
            except NodeExistsError:
                pass  # The answer to the attempt before got lost.
            except SessionExpiredError:
                return
            except (KazooException, OSError):
                # Slower than the library tries again by itself.
                time.sleep(0.02)
                continue
            self.acknowledged.append(number)
            number += 1

    def goes_on(self, count=20):
        """Waits until so many more writes were acknowledged."""
        goal = len(self.acknowledged) + count
        until(f"{count} more writes", lambda: len(self.acknowledged) >= goal, limit=90)

    def follow(self):
        """Takes the addresses that the Ensemble tells of now."""
        self.client.set_hosts(self.ensemble.connect_string())

    def _check(self):
        assert not self.thread.is_alive(), "the writer hangs"
        assert KazooState.LOST not in self.states, self.states
        assert self.client.client_id[0] == self.session
        assert self.client.exists("/mine").ephemeralOwner == self.session
        for member in self.ensemble.members():
            wanted = {f"{number:06}" for number in self.acknowledged}
            missing = wanted - self.ensemble.children(member, "/load")
            assert not missing, f"member {member['id']} lost {sorted(missing)[:5]} of {len(wanted)}"


class Ensemble:
    """One Ensemble object, and its members as processes."""

    def __init__(self, kubectl, data_dir, name, members, beside=0, **spec):
        """`beside`: how many more its status tells of; `None`: nothing is waited for."""
        self.kubectl = kubectl
        self.name = name
        self.folder = pathlib.Path(data_dir) / "ensembles" / "default" / name
        self.spec = {"members": members, "timing": {"maxSessionTimeout": "60s"}}
        self.apply(**spec)
        if beside is not None:
            self.settled(members + spec.get("observers", 0) + beside)

    def apply(self, **spec):
        """Declares it with these fields of the spec; `None` takes one away."""
        self.spec.update(spec)
        self.spec = {key: value for key, value in self.spec.items() if value is not None}
        self.kubectl("apply", "-f", "-", stdin=manifest("Ensemble", self.name, self.spec))

    def status(self):
        return self.kubectl.json("get", "ens", self.name).get("status", {})

    def members(self):
        return self.status().get("members", [])

    def connect_string(self):
        return self.status()["connectString"]

    def leader(self):
        status = self.status()
        return next((m for m in status["members"] if m["id"] == status.get("leader")), None)

    def condition(self, kind):
        found = [c for c in self.status().get("conditions", []) if c["type"] == kind]
        return found[0] if found else None

    def events(self):
        return [event["reason"] for event in self.news()]

    def news(self):
        """The Events about it, as events.k8s.io has them."""
        items = self.kubectl.json("get", "events.v1.events.k8s.io")["items"]
        return [event for event in items if event["regarding"]["name"] == self.name]

    def settled(self, members, limit=120):
        """Waits until it is Ready with exactly so many members, of which one leads."""

        def probe():
            object = self.kubectl.json("get", "ens", self.name)
            status = object.get("status", {})
            states = [m["state"] for m in status.get("members", [])]
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
            seen = status.get("observedGeneration") == object["metadata"]["generation"]
            leads = states.count("leader") + states.count("standalone") == 1
            assert ready and seen and leads and len(states) == members, f"{states} {status.get('conditions')}"
            return states

        return until(f"{members} members", probe, limit=limit, pause=0.1)

    def told(self, *words, kind="Stalled", limit=60):
        """Waits for a condition that is true and says all these words."""

        def probe():
            found = self.condition(kind)
            assert found and found["status"] == "True", found
            assert all(word in found["message"] for word in words), found
            return found

        return until(f"{kind} with {words}", probe, limit=limit)

    def scale(self, members):
        self.kubectl("scale", f"ens/{self.name}", f"--replicas={members}")
        self.settled(members)

    def pids(self):
        return {m["id"]: m.get("pid") for m in self.members()}

    def children(self, member, path):
        """What one member has below a path, as new as the leader has it."""
        client = KazooClient(hosts=member["endpoint"], timeout=30)
        client.start(timeout=30)
        try:
            client.sync(path)
            return set(client.get_children(path))
        finally:
            client.stop()
            client.close()
