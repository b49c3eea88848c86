"""An ensemble of Apache's is taken over by what is declared, and taken back, while a client writes."""

import re

from kazoo.client import KazooClient

from e2e.harness import ensembles
from e2e.harness.declared import Ensemble, Load, manifest
from e2e.harness.lasting import kubectl, up  # noqa: F401
from e2e.harness.wait import until
from e2e.harness.zookeepers import apache_lib

# As Apache's are without a word about it, but for the sessions' length.
CONFIG = {"4lw.commands.whitelist": "srvr", "maxSessionTimeout": "60000"}
CREDENTIALS = {"secretKeyRef": {"name": "super", "key": "credentials"}}
DIGEST = {"secretKeyRef": {"name": "super", "key": "digest"}}


def apaches(folder, **config):
    """Three of Apache's servers, which know a super user."""
    apache_lib()
    return ensembles.Ensemble("apache", folder, more={**CONFIG, **config})


def servers(theirs):
    """Their lines, as spec.join has them."""
    return [peer.line() for peer in theirs.peers.values()]


def super_user(kubectl, password):
    """Makes or replaces the Secret of who may change members; `test` is the right password."""
    values = {"credentials": f"super:{password}", "digest": ensembles.SUPER.split("=", 1)[1]}
    kubectl("apply", "-f", "-", stdin=manifest("Secret", "super", None, api="v1", stringData=values))


def voters(address):
    """The ids that vote, as the member at an address says."""
    client = KazooClient(hosts=address, timeout=30)
    client.start(timeout=30)
    try:
        lines = client.get("/zookeeper/config")[0].decode().splitlines()
    finally:
        client.stop()
        client.close()
    return {int(line[len("server.") : line.index("=")]) for line in lines if ":participant" in line}


def all_say(ensemble, wanted):
    """Waits until each member says that these vote."""
    for member in ensemble.members():
        until(f"{wanted} vote", lambda m=member: voters(m["endpoint"]) == wanted)


def start_again(peer, told):
    """Starts a server of Apache's with the lines that a condition tells, in place of those it has."""
    kept = [
        line for line in peer.config.read_text().splitlines()
        if not line.startswith(("server.", "dynamicConfigFile", "reconfigEnabled"))
    ]  # fmt: skip
    lines = re.findall(r"reconfigEnabled=true|server\.\d+=[^,; ]+;[^,; ]+", told["message"])
    assert len(lines) > 1, told
    peer.config.write_text("".join(f"{line}\n" for line in kept + lines))
    peer.start([])


def test_apaches_ensemble_is_taken_over_and_given_back_under_load(kubectl, up, tmp_path):
    super_user(kubectl, "test")
    with apaches(tmp_path) as theirs:
        join = {"servers": servers(theirs), "credentials": CREDENTIALS}
        ensemble = Ensemble(kubectl, up.data_dir, "taken", 3, beside=3, join=join)
        all_say(ensemble, {1, 2, 3, 4, 5, 6})
        with Load(ensemble) as load:
            load.goes_on()
            ensemble.apply(join={**join, "voters": "Ours"})
            ensemble.settled(6, limit=240)
            assert "servers 1, 2, 3 have no vote and can be ended" in ensemble.condition("Ready")["message"]
            all_say(ensemble, {4, 5, 6})
            load.follow()
            load.goes_on()
            for peer in theirs.peers.values():
                peer.kill()
            ensemble.settled(3)
            load.goes_on()

            ensemble.apply(join={**join, "voters": "Both"})
            for peer in theirs.peers.values():
                start_again(peer, ensemble.told(f"start it with myid {peer.myid} ", limit=120))
                if peer.myid == 1:
                    # Now one of ours leads, and does not know the super user.
                    ensemble.told("which is ours", "spec.authentication.superDigest", limit=120)
                    ensemble.apply(authentication={"superDigest": DIGEST})
            ensemble.settled(6, limit=240)
            all_say(ensemble, {1, 2, 3, 4, 5, 6})
            load.follow()
            load.goes_on()
            ensemble.apply(join={**join, "voters": "Theirs"})
            ensemble.settled(6, limit=240)
            all_say(ensemble, {1, 2, 3})
            load.follow()
            load.goes_on()
            written = {f"{number:06}" for number in load.acknowledged}
        kubectl("delete", "ens", "taken", "--timeout=60s")
        for peer in theirs.peers.values():
            client = KazooClient(hosts=peer.address, timeout=30)
            client.start(timeout=30)
            assert written <= set(client.get_children("/load"))
            client.stop()
            client.close()


def test_what_apaches_ensemble_refuses_is_told_with_the_remedy(kubectl, up, tmp_path):
    with apaches(tmp_path, reconfigEnabled="false") as theirs:
        ensemble = Ensemble(kubectl, up.data_dir, "refused", 1, beside=None, join={"servers": servers(theirs)})
        ensemble.told("reconfigEnabled=true", "one by one", limit=120)
        # One of ours follows without a vote.
        ours = next(m for m in ensemble.members() if m["id"] == 4)
        assert (ours["state"], ours["votes"]) == ("follower", False), ours
        kubectl("delete", "ens", "refused", "--timeout=60s")


def test_what_is_declared_wrongly_is_told_and_mended_and_deletion_waits_for_votes(kubectl, up, tmp_path):
    with apaches(tmp_path) as theirs:
        join = {"servers": servers(theirs)}
        ensemble = Ensemble(kubectl, up.data_dir, "wrong", 1, beside=None, join={"servers": join["servers"][:2]})
        ensemble.told("spec.join.servers lacks", join["servers"][2])
        ensemble.apply(join=join)
        ensemble.told("without credentials", "spec.join.credentials", limit=120)
        super_user(kubectl, "wrong")
        ensemble.apply(join={**join, "credentials": CREDENTIALS})
        ensemble.told("spec.join.credentials: the ensemble does not let this user")
        super_user(kubectl, "test")
        ensemble.settled(4)
        kubectl("delete", "ens", "wrong", "--wait=false")
        ensemble.told("deletion waits", "spec.join.voters")
        ensemble.apply(join={**join, "credentials": CREDENTIALS, "voters": "Theirs"})
        kubectl("wait", "--for=delete", "ens/wrong", "--timeout=60s")
        for peer in theirs.peers.values():
            until("only theirs vote", lambda peer=peer: voters(peer.address) == {1, 2, 3})
