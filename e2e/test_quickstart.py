"""The README's first command, as a new user sees it."""

import json
import subprocess

from e2e import steps
from e2e.harness import paths


def test_everything_is_ready_and_told(up, kubectl):
    steps.quickstart_ready(kubectl)
    for kind in ("ensembles", "znodes", "resourcepools", "agents", "frameworks"):
        rows = kubectl("get", kind, "--no-headers").splitlines()
        assert rows and all("True" in row for row in rows), kubectl("get", kind)
    assert any(line.startswith("all Ready after") for line in up.lines), up.lines


def test_kazoo_reads_and_drift_is_put_back(kubectl):
    steps.quickstart_ready(kubectl)
    steps.reads_declared_znode(kubectl)
    steps.drift_is_put_back(kubectl)


def test_a_manifest_change_reaches_the_znode(kubectl):
    steps.quickstart_ready(kubectl)
    kubectl("patch", "zn", "app-config", "--type=merge", "-p", json.dumps({"spec": {"data": "new"}}))
    client = steps.zookeeper(kubectl)
    try:
        steps.until("the new data", lambda: client.get("/app/config")[0] == b"new")
    finally:
        client.stop()
        client.close()


def test_applied_again_nothing_changes(up, kubectl):
    steps.quickstart_ready(kubectl)
    before = {o["metadata"]["name"]: o["metadata"]["generation"] for o in kubectl.json("get", "fw,zn,pool,ens")["items"]}
    done = subprocess.run(
        kubectl.command("apply", "-f", str(paths.QUICKSTART)), capture_output=True, text=True, check=True
    )
    assert all(line.endswith("unchanged") for line in done.stdout.splitlines()), done.stdout
    assert not done.stderr, done.stderr
    after = {o["metadata"]["name"]: o["metadata"]["generation"] for o in kubectl.json("get", "fw,zn,pool,ens")["items"]}
    assert before == after


def test_exit_when_ready_ends_with_0_and_leaves_nothing(data_dir):
    command = [str(paths.troupe()), "up", "--data-dir", str(data_dir), "--api-port", "0", "--exit-when-ready"]
    done = subprocess.run(command + [str(paths.QUICKSTART)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all Ready after" in done.stdout


def test_exit_when_ready_ends_with_1_and_the_reason(data_dir, tmp_path):
    orphan = tmp_path / "orphan.yaml"
    orphan.write_text(
        "apiVersion: troupe.dev/v1alpha1\nkind: ZNode\nmetadata: {name: orphan}\n"
        "spec: {ensembleRef: {name: nowhere}, path: /a}\n"
    )
    command = [str(paths.troupe()), "up", "--data-dir", str(data_dir), "--api-port", "0"]
    command += ["--exit-when-ready", "--timeout", "3s", str(orphan)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ZNode/orphan" in done.stderr and "nowhere" in done.stderr, done.stderr


def up_once(data_dir, folder, *documents):
    """`troupe up --exit-when-ready` of a folder with one file for each text."""
    folder.mkdir()
    for number, text in enumerate(documents):
        (folder / f"{number}.yaml").write_text(text)
    command = [str(paths.troupe()), "up", "--data-dir", str(data_dir), "--api-port", "0", "--exit-when-ready"]
    return subprocess.run(command + [str(folder)], capture_output=True, text=True, timeout=120)


def test_manifests_may_define_kinds_and_hold_objects_of_any(data_dir, tmp_path):
    definition = (paths.ROOT / "e2e" / "data" / "widget-crd.yaml").read_text()
    rest = (
        "{apiVersion: v1, kind: Namespace, metadata: {name: mine}}\n---\n"
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: mine}, data: {a: b}}\n---\n"
        "{apiVersion: e2e.test/v1, kind: Widget, metadata: {name: w, namespace: mine}, spec: {size: small}}\n"
    )
    done = up_once(data_dir, tmp_path / "manifests", definition, rest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Widget/w" in done.stdout and "ConfigMap/c" in done.stdout, done.stdout


def test_a_manifest_is_refused_in_the_words_of_the_api(data_dir, tmp_path):
    ensemble = "apiVersion: troupe.dev/v1alpha1\nkind: Ensemble\nmetadata: {name: a}\nspec: {membrs: 1}\n"
    done = up_once(data_dir, tmp_path / "unknown", ensemble)
    assert done.returncode == 1 and "0.yaml" in done.stderr, done.stdout + done.stderr
    assert 'unknown field "spec.membrs"' in done.stderr, done.stderr
    lost = ensemble.replace("name: a", "name: a, namespace: nowhere").replace("membrs", "members")
    done = up_once(data_dir, tmp_path / "lost", lost)
    assert done.returncode == 1 and 'namespaces "nowhere" not found; create it' in done.stderr, done.stderr
    assert "Status {" not in done.stderr, done.stderr


def test_client_verbs(up, kubectl):
    steps.quickstart_ready(kubectl)

    def verb(*args, code=0, stdin=None):
        command = [str(paths.troupe()), *args[:1], "--kubeconfig", str(up.kubeconfig), *args[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin)
        assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    table = verb("status")
    assert table.count("Ready") >= 5 and "Framework/hello" in table
    assert "Framework/hello" in verb("status", "fw/hello")
    assert "app" in verb("zk", "ls").splitlines()
    assert 'greeting = "hello"' in verb("zk", "get", "/app/config")
    assert verb("zk", "create", "--parents", "/mine/a", "one").strip() == "/mine/a"
    assert verb("zk", "set", "/mine/a", "-", stdin="two").strip() == "version 1"
    assert verb("zk", "get", "/mine/a").strip() == "two"
    assert "dataLength     3" in verb("zk", "stat", "/mine/a")
    assert verb("zk", "create", "-s", "/mine/b-", "x").strip() == "/mine/b-0000000001"
    assert verb("zk", "ls", "-r", "/mine").splitlines() == ["/mine/a", "/mine/b-0000000001"]
    assert "not exist" in verb("zk", "get", "/nothing", code=1)
    assert "recursive" in verb("zk", "rm", "/mine", code=1)
    verb("zk", "rm", "-r", "/mine")
    assert "mine" not in verb("zk", "ls").splitlines()
    assert "no kind is called" in verb("status", "gizmo", code=1)


def test_crds_are_printed_as_they_are_kept():
    printed = subprocess.run([str(paths.troupe()), "crds"], capture_output=True, text=True, check=True).stdout
    assert printed.count("kind: CustomResourceDefinition") == 5


def test_a_second_up_on_one_folder_is_refused(up):
    other = subprocess.run(
        [str(paths.troupe()), "up", "--data-dir", str(up.data_dir), "--api-port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert other.returncode == 1
    assert str(up.process.pid) in other.stderr and "--data-dir" in other.stderr, other.stderr


def test_a_port_in_use_is_told(up, tmp_path):
    port = up.kubeconfig.read_text().split("127.0.0.1:")[1].split()[0].strip('"')
    other = subprocess.run(
        [str(paths.troupe()), "up", "--data-dir", str(tmp_path / "other"), "--api-port", port],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert other.returncode == 1
    assert port in other.stderr and "--api-port" in other.stderr, other.stderr
