"""TLS and passwords, declared: to clients, and between members while a client writes."""

import base64
import hashlib
import re
import socket
import ssl
import subprocess

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from e2e.harness.certificates import Authority
from e2e.harness.declared import Ensemble, Load, manifest
from e2e.harness.lasting import kubectl, up  # noqa: F401
from e2e.harness.wait import until
from e2e.harness.zookeepers import apache_lib


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca") / "one")


def users(kubectl, name, **words):
    """Makes or replaces a Secret of users."""
    kubectl("apply", "-f", "-", stdin=manifest("Secret", name, None, api="v1", stringData=words))


def test_clients_speak_tls_and_a_new_certificate_needs_no_restart(kubectl, up, authority, tmp_path):
    crt, key = authority.secret(kubectl, "client-tls")
    ensemble = Ensemble(kubectl, up.data_dir, "secure", 1, tls={"client": {"secretRef": {"name": "client-tls"}}})
    client = KazooClient(
        hosts=ensemble.status()["secureConnectString"],
        use_ssl=True, ca=str(authority.crt), certfile=str(crt), keyfile=str(key), verify_certs=True,
    )  # fmt: skip
    client.start(timeout=30)
    client.create("/by-tls", b"x")
    client.stop()
    client.close()
    member = ensemble.members()[0]
    assert "by-tls" in ensemble.children(member, "/")

    address = tuple(member["secureEndpoint"].split(":"))
    shown = ssl.get_server_certificate(address)
    assert shown.strip() == crt.read_text().strip()
    renewed, _ = authority.secret(kubectl, "client-tls", "renewed")
    until("the new certificate", lambda: ssl.get_server_certificate(address).strip() == renewed.read_text().strip())
    assert ensemble.pids() == {1: member["pid"]}

    # A key of another certificate is told, and what runs goes on with what it has.
    _, other = authority.issue("other")
    text = base64.b64encode(other.read_bytes()).decode()
    kubectl("patch", "secret", "client-tls", "--type=merge", "-p", f'{{"data": {{"tls.key": "{text}"}}}}')
    ensemble.told("client-tls", "tls.key is not the key of the first certificate")
    assert ssl.get_server_certificate(address).strip() == renewed.read_text().strip()
    authority.secret(kubectl, "client-tls")
    ensemble.settled(1)
    kubectl("delete", "ens", "secure", "--timeout=60s")


def test_members_change_to_tls_and_back_under_load(kubectl, up, authority):
    authority.secret(kubectl, "peer-tls")
    ensemble = Ensemble(kubectl, up.data_dir, "sealed", 3)
    with Load(ensemble) as load:
        load.goes_on()
        ensemble.apply(tls={"peer": {"secretRef": {"name": "peer-tls"}}})
        ensemble.settled(3, limit=240)
        load.goes_on()
        assert all(speaks_tls(port) for port in election_ports(ensemble))
        # One more member finds its way in.
        ensemble.scale(4)
        ensemble.scale(3)
        ensemble.apply(tls=None)
        ensemble.settled(3, limit=240)
        load.goes_on()
        assert not any(speaks_tls(port) for port in election_ports(ensemble))
    kubectl("delete", "ens", "sealed", "--timeout=60s")


def election_ports(ensemble):
    """Where the members listen for votes, as each is told of itself."""
    found = []
    for member in ensemble.members():
        text = (ensemble.folder / str(member["id"]) / "zoo.cfg").read_text()
        found.append(int(re.search(rf"server\.{member['id']}=127\.0\.0\.1:\d+:(\d+)", text).group(1)))
    return found


def speaks_tls(port):
    """Whether a handshake is answered. Without a certificate it does not succeed, but is answered all the same."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain) as tls:
                return tls.version() is not None
        except (ssl.SSLEOFError, ConnectionError, TimeoutError):
            return False
        except ssl.SSLError as error:
            return "CERTIFICATE_REQUIRED" in str(error)


def test_members_prove_themselves_and_change_their_password(kubectl, up):
    users(kubectl, "peers", one="first")
    ensemble = Ensemble(kubectl, up.data_dir, "proven", 3)
    with Load(ensemble) as load:
        load.goes_on()
        ensemble.apply(authentication={"peers": {"secretRef": {"name": "peers"}}})
        ensemble.settled(3, limit=240)
        load.goes_on()
        demands = "quorum.auth.serverRequireSasl=true"
        assert all(demands in (ensemble.folder / f"{id}" / "zoo.cfg").read_text() for id in (1, 2, 3))

        # At once it cannot be, and the way is told.
        before = ensemble.pids()
        users(kubectl, "peers", one="second")
        ensemble.told("Keep the old user in the Secret")
        assert ensemble.pids() == before
        users(kubectl, "peers", one="first", two="second")
        ensemble.told("spec.authentication.peers.user", "one, two")
        ensemble.apply(authentication={"peers": {"secretRef": {"name": "peers"}, "user": "one"}})
        ensemble.settled(3)
        ensemble.apply(authentication={"peers": {"secretRef": {"name": "peers"}, "user": "two"}})
        ensemble.settled(3)
        kubectl("patch", "secret", "peers", "--type=merge", "-p", '{"data": {"one": null}}')
        ensemble.settled(3)
        load.goes_on()
        ensemble.apply(authentication=None)
        ensemble.settled(3, limit=240)
        load.goes_on()
    kubectl("delete", "ens", "proven", "--timeout=60s")


def test_clients_are_known_by_passwords(kubectl, up, tmp_path):
    lib = apache_lib()
    users(kubectl, "users", bob="builder")
    digest = base64.b64encode(hashlib.sha1(b"super:power").digest()).decode()
    users(kubectl, "digest", super=f"super:{digest}")
    ensemble = Ensemble(kubectl, up.data_dir, "known", 1, authentication={
        "required": True,
        "saslUsers": {"name": "users"},
        "superDigest": {"secretKeyRef": {"name": "digest", "key": "super"}},
    })  # fmt: skip
    server = ensemble.connect_string()

    def zkcli(word, *command):
        """What zkCli says as bob with a password."""
        jaas = tmp_path / f"{word}.jaas"
        module = "org.apache.zookeeper.server.auth.DigestLoginModule"
        jaas.write_text(f'Client {{ {module} required username="bob" password="{word}"; }};')
        done = subprocess.run(
            [
                "java", "-Xmx128m", "-XX:TieredStopAtLevel=1", f"-Djava.security.auth.login.config={jaas}",
                "-cp", f"{lib}/*", "org.apache.zookeeper.ZooKeeperMain",
                "-waitforconnection", "-timeout", "10000", "-server", server, *command,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout

    assert "Created /bobs" in zkcli("builder", "create", "/bobs", "x", "sasl:bob:cdrwa")
    assert "Created" not in zkcli("wrong", "create", "/nobodys", "x")
    assert "'sasl,'bob" in zkcli("builder", "getAcl", "/bobs")
    stranger = KazooClient(hosts=server, timeout=30)
    stranger.start(timeout=30)
    with pytest.raises(KazooException):
        stranger.create("/strangers", b"x")
    stranger.stop()
    stranger.close()
    kubectl("delete", "ens", "known", "--timeout=60s")
