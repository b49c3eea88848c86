"""What members count of their work among others and by top-level znode: ours by Apache's names, and as much as Apache's."""

import urllib.request

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, QuotaExceededError

from e2e.harness.ensembles import Ensemble
from e2e.harness.wait import until
from e2e.harness.zookeepers import apache_lib, free_port

# Of each member: whether there is anything. How often depends on how an election went.
AMONG_OTHERS = (
    "looking_count", "cnt_election_time", "cnt_follower_sync_time", "cnt_unavailable_time", "cnt_leader_unavailable_time",
    "proposal_count", "commit_count", "learner_proposal_received_count", "learner_commit_received_count",
    "cnt_propagation_latency", "cnt_quorum_ack_latency", "cnt_sync_processor_queue_flush_time_ms",
    "cnt_sync_processor_batch_size", "cnt_fsynctime", "revalidate_count",
)  # fmt: skip
# Of the leader: `snap_count` or `diff_count`, by what the learner lacks.
LEARNERS = ("diff_count", "snap_count", "cnt_inflight_diff_count", "cnt_inflight_snap_count")


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()


def busy(ensemble):
    """The same work of a client, which knows two followers, on any ensemble; what each member counted then."""
    leader, (first, second) = ensemble.leader(), ensemble.followers()
    client = KazooClient(hosts=first.address, timeout=30)
    client.start(60)
    client.ensure_path("/app/some")
    client.create("/zookeeper/quota/app")
    client.create("/zookeeper/quota/app/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=40;countHardLimit=100")
    client.create("/zookeeper/quota/app/zookeeper_stats", b"count=2,bytes=0")
    for number in range(10):
        client.create(f"/app/some/{number}", b"xy")
        client.set(f"/app/some/{number}", b"xyz")
        client.get(f"/app/some/{number}")
        client.exists(f"/app/some/{number}")
    for _ in range(3):
        with pytest.raises(QuotaExceededError):
            client.set("/app/some/1", b"x" * 100)
    client.delete("/app/some/0")
    client.get_children("/app/some")
    client.get_children("/app/some", include_data=True)
    with pytest.raises(NoNodeError):
        client.get("/other/none")
    transaction = client.transaction()
    transaction.create("/other", b"12")
    transaction.set_data("/app/some", b"1")
    transaction.commit()
    transaction = client.transaction()
    transaction.create("/never", b"12")
    transaction.delete("/not-there")
    transaction.commit()
    # Its session moves to another one, which asks the leader for it.
    client.set_hosts(second.address)
    first.kill()
    client.retry(client.sync, "/")
    client.retry(client.get, "/app")
    first.start([])
    until("the first one serves again", first.mode, limit=120)
    counted = {peer.myid: peer.monitored() for peer in (leader, second)}
    client.stop()
    client.close()
    found = {}
    for role, peer in (("leader", leader), ("follower", second)):
        all_of = counted[peer.myid]
        found[role] = {name: float(all_of.get(name, 0)) > 0 for name in AMONG_OTHERS}
        found[role]["learners"] = any(float(all_of[name]) for name in LEARNERS)
        found[role]["namespaces"] = {
            name: value for name, value in all_of.items() if "_per_namespace" in name and "zookeeper" not in name
        }
    return found


def test_an_ensemble_counts_what_apaches_counts(tmp_path):
    apache_lib()
    seen = {}
    for kind in ("apache", "troupe"):
        with Ensemble(kind, tmp_path / kind, more={"enforceQuota": "true"}) as ensemble:
            seen[kind] = busy(ensemble)
            if kind == "troupe":
                # Apache's looks at one transaction of a thousand.
                counted = ensemble.leader().monitored()
                for peer in ensemble.peers:
                    assert float(counted[f"cnt_{peer}_ack_latency"]) > 0
    for role in ("leader", "follower"):
        assert seen["troupe"][role] == seen["apache"][role], role


def test_prometheus_tells_the_namespace_as_a_label(tmp_path):
    port = free_port()
    more = {
        "metricsProvider.className": "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
        "metricsProvider.httpHost": "127.0.0.1",
        "metricsProvider.httpPort": port,
    }
    with Ensemble("troupe", tmp_path, size=1, more=more) as ensemble:
        client = KazooClient(hosts=ensemble.peers[1].address)
        client.start(60)
        client.create('/a"b', b"123")
        client.get('/a"b')
        text = scraped(port)
        client.stop()
        client.close()
    assert 'write_per_namespace_count{key="a\\"b",} 1.0' in text
    assert 'write_per_namespace_sum{key="a\\"b",} 7.0' in text
    assert f'read_per_namespace_sum{{key="a\\"b",}} {float(4 + 3 + 68)}' in text
    assert text.count("# TYPE write_per_namespace summary") == 1
