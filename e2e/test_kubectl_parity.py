"""One script of kubectl commands against `troupe up` and against the real kube-apiserver: the same answers.

Outputs are compared after masking ids, times and addresses. What a server cannot answer the same way by
its nature (other built-in groups, managedFields of an API without server-side apply) is filtered by the
step itself, in the open.
"""

import re

import pytest
import yaml

from e2e.conftest import need
from e2e.harness import paths
from e2e.harness.kubectl import Kubectl
from e2e.harness.mask import mask
from e2e.harness.up import Up
from e2e.harness.wait import until

CRD = paths.ROOT / "e2e" / "data" / "widget-crd.yaml"


def widget(name="one", extra_metadata="", **spec):
    """A Widget as YAML."""
    body = {"size": "small", **spec}
    metadata = {"name": name, **(yaml.safe_load(extra_metadata) or {} if extra_metadata else {})}
    return yaml.safe_dump(
        {"apiVersion": "e2e.test/v1", "kind": "Widget", "metadata": metadata, "spec": body}
    )


def sed(script):
    """An $EDITOR that changes the file with sed."""
    return {"KUBE_EDITOR": f"sed -i -e '{script}'"}


STATUS = (
    '{"status":{"observedGeneration":99,"replicas":2,"selector":"app=one","conditions":[{"type":"Ready",'
    '"status":"True","reason":"Up","message":"all up","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'
)

# (what it shows, arguments, stdin, environment); MORE is a second namespace.
STEPS = [
    ("create", ["apply", "-f", "-"], widget(labels={"a": "b"}), None),
    ("unchanged", ["apply", "-f", "-"], widget(labels={"a": "b"}), None),
    ("get", ["get", "widgets"], None, None),
    ("short name", ["get", "wd", "one"], None, None),
    ("category", ["get", "gadgets"], None, None),
    ("wide", ["get", "widget.e2e.test/one", "-o", "wide"], None, None),
    ("yaml", ["get", "wd", "one", "-o", "yaml"], None, None),
    ("json", ["get", "wd", "one", "-o", "json"], None, None),
    ("name", ["get", "wd", "-o", "name"], None, None),
    ("jsonpath", ["get", "wd", "one", "-o", "jsonpath={.spec.replicas}{.status}"], None, None),
    ("custom columns", ["get", "wd", "-o", "custom-columns=N:.metadata.name,S:.spec.size"], None, None),
    ("show labels", ["get", "wd", "--show-labels"], None, None),
    ("no headers", ["get", "wd", "--no-headers"], None, None),
    ("describe", ["describe", "wd", "one"], None, None),
    ("explain", ["explain", "widget"], None, None),
    ("explain a field", ["explain", "widget.spec.size"], None, None),
    ("explain all", ["explain", "widget", "--recursive"], None, None),
    ("explain nothing", ["explain", "widget.spec.nothing"], None, None),
    ("diff of a change", ["diff", "-f", "-"], widget(labels={"a": "c"}), None),
    ("diff of none", ["diff", "-f", "-"], widget(labels={"a": "b"}), None),
    ("change", ["apply", "-f", "-"], widget(labels={"a": "c"}, colour="red"), None),
    ("field left out is removed", ["apply", "-f", "-"], widget(labels={"a": "c"}), None),
    ("no colour any more", ["get", "wd", "one", "-o", "jsonpath={.spec}"], None, None),
    ("edit", ["edit", "wd", "one"], None, sed("s/size: small/size: large/")),
    ("edit of nothing", ["edit", "wd", "one"], None, sed("s/x/x/")),
    ("merge patch", ["patch", "wd", "one", "--type", "merge", "-p", '{"spec":{"colour":"blue"}}'], None, None),
    ("patch of nothing", ["patch", "wd", "one", "--type", "merge", "-p", '{"spec":{"colour":"blue"}}'], None, None),
    ("json patch", ["patch", "wd", "one", "--type", "json", "-p", '[{"op":"replace","path":"/spec/colour","value":"green"}]'], None, None),
    ("json patch whose test fails", ["patch", "wd", "one", "--type", "json", "-p", '[{"op":"test","path":"/spec/colour","value":"x"}]'], None, None),
    ("json patch of a missing path", ["patch", "wd", "one", "--type", "json", "-p", '[{"op":"remove","path":"/spec/nothing"}]'], None, None),
    ("strategic patch", ["patch", "wd", "one", "-p", '{"spec":{"colour":"x"}}'], None, None),
    ("status patch", ["patch", "wd", "one", "--subresource", "status", "--type", "merge", "-p", STATUS], None, None),
    ("with status", ["get", "wd", "one"], None, None),
    ("wait for a condition", ["wait", "wd/one", "--for=condition=Ready", "--timeout=10s"], None, None),
    ("wait for a path", ["wait", "wd/one", "--for=jsonpath={.status.replicas}=2", "--timeout=10s"], None, None),
    ("wait in vain", ["wait", "wd/one", "--for=condition=Never", "--timeout=1s"], None, None),
    ("scale", ["scale", "wd/one", "--replicas=3"], None, None),
    ("scale guarded", ["scale", "wd/one", "--current-replicas=9", "--replicas=4"], None, None),
    ("scale out of range", ["scale", "wd/one", "--replicas=101"], None, None),
    ("scale against a rule", ["scale", "wd/one", "--replicas=11"], None, None),
    ("scaled", ["get", "wd", "one", "-o", "jsonpath={.spec.replicas} {.metadata.generation}"], None, None),
    ("label", ["label", "wd", "one", "tier=front"], None, None),
    ("annotate", ["annotate", "wd", "one", "note=hello"], None, None),
    ("wrong label", ["label", "wd", "one", "tier=no spaces"], None, None),
    ("a second", ["create", "-f", "-"], widget("two", "labels: {tier: back}", size="large"), None),
    ("create what exists", ["create", "-f", "-"], widget("two"), None),
    ("selector", ["get", "wd", "-l", "tier=front", "-o", "name"], None, None),
    ("set selector", ["get", "wd", "-l", "tier in (front,back),tier!=back", "-o", "name"], None, None),
    ("exists selector", ["get", "wd", "-l", "!tier", "-o", "name"], None, None),
    ("wrong selector", ["get", "wd", "-l", "tier in front"], None, None),
    ("field selector", ["get", "wd", "--field-selector", "metadata.name=two", "-o", "name"], None, None),
    ("unknown field selector", ["get", "wd", "--field-selector", "spec.size=large"], None, None),
    ("pages", ["get", "wd", "--chunk-size=1", "-o", "name"], None, None),
    ("sorted", ["get", "wd", "--sort-by", ".metadata.name", "-o", "name"], None, None),
    ("all namespaces", ["get", "wd", "-A"], None, None),
    ("not found", ["get", "wd", "nobody"], None, None),
    ("unknown kind", ["get", "gizmos"], None, None),
    ("wrong type", ["apply", "-f", "-"], widget("bad", replicas="three"), None),
    ("wrong enum", ["apply", "-f", "-"], widget("bad", size="huge"), None),
    ("out of bounds", ["apply", "-f", "-"], widget("bad", replicas=-1), None),
    ("too long and wrong pattern", ["apply", "-f", "-"], widget("bad", colour="VERY-LONG-NAME"), None),
    ("broken rule", ["apply", "-f", "-"], widget("bad", colour="none"), None),
    ("missing field", ["apply", "-f", "-"], "apiVersion: e2e.test/v1\nkind: Widget\nmetadata: {name: bad}\nspec: {}\n", None),
    ("missing spec", ["apply", "-f", "-"], "apiVersion: e2e.test/v1\nkind: Widget\nmetadata: {name: bad}\n", None),
    ("unknown field", ["apply", "-f", "-"], widget("bad", nonsense=1), None),
    ("unknown field let through", ["apply", "--validate=false", "-f", "-"], widget("loose", nonsense=1), None),
    ("it was pruned", ["get", "wd", "loose", "-o", "jsonpath={.spec}"], None, None),
    ("unknown field warned", ["apply", "--validate=warn", "-f", "-"], widget("loose", nonsense=1, size="large"), None),
    ("duplicate keys of a list map", ["apply", "-f", "-"], widget("bad", parts=[{"name": "a"}, {"name": "a"}]), None),
    ("too many items", ["apply", "-f", "-"], widget("bad", parts=[{"name": str(i)} for i in range(5)]), None),
    ("int or string", ["apply", "-f", "-"], widget("ios", memory="1Gi", free={"x": [1, {"y": None}]}), None),
    ("int or string, other", ["apply", "-f", "-"], widget("ios", memory=5, free={"x": 1.5}), None),
    ("int or string, wrong", ["apply", "-f", "-"], widget("ios", memory=[1]), None),
    ("immutable", ["apply", "-f", "-"], widget("fix", fixed="a"), None),
    ("immutable changed", ["apply", "-f", "-"], widget("fix", fixed="b"), None),
    ("wrong name", ["apply", "-f", "-"], widget("Not_A_Name"), None),
    ("no such namespace", ["-n", "nowhere", "apply", "-f", "-"], widget("x"), None),
    ("dry run on the server", ["apply", "--dry-run=server", "-f", "-"], widget("dry"), None),
    ("it was dry", ["get", "wd", "dry"], None, None),
    ("replace", ["replace", "-f", "-"], widget("two", size="large", colour="pink"), None),
    ("replace what is not there", ["replace", "-f", "-"], widget("nobody"), None),
    ("replace by force", ["replace", "--force", "-f", "-"], widget("two"), None),
    ("finalizer", ["patch", "wd", "two", "--type", "merge", "-p", '{"metadata":{"finalizers":["e2e.test/hold"]}}'], None, None),
    ("delete waits", ["delete", "wd", "two", "--wait=false"], None, None),
    ("still there", ["get", "wd", "two", "-o", "jsonpath={.metadata.name} {.metadata.finalizers} {.metadata.generation}"], None, None),
    ("no new finalizer now", ["patch", "wd", "two", "--type", "merge", "-p", '{"metadata":{"finalizers":["e2e.test/hold","e2e.test/more"]}}'], None, None),
    ("let go", ["patch", "wd", "two", "--type", "merge", "-p", '{"metadata":{"finalizers":null}}'], None, None),
    ("gone", ["get", "wd", "two"], None, None),
    ("delete", ["delete", "wd", "one"], None, None),
    ("delete what is not there", ["delete", "wd", "one"], None, None),
    ("delete, ignoring", ["delete", "wd", "one", "--ignore-not-found"], None, None),
    ("delete by selector", ["delete", "wd", "-l", "!tier"], None, None),
    ("delete all", ["delete", "wd", "--all"], None, None),
    ("none left", ["get", "wd"], None, None),
    ("config map", ["create", "configmap", "cm", "--from-literal=a=1", "--from-literal=b=two"], None, None),
    ("config map shown", ["get", "cm", "cm"], None, None),
    ("config map told", ["describe", "cm", "cm"], None, None),
    ("config map patched", ["patch", "cm", "cm", "-p", '{"data":{"a":null,"c":"3"}}'], None, None),
    ("config map data", ["get", "cm", "cm", "-o", "jsonpath={.data}"], None, None),
    ("secret", ["create", "secret", "generic", "sec", "--from-literal=password=hunter2"], None, None),
    ("secret shown", ["get", "secret", "sec"], None, None),
    ("secret told", ["describe", "secret", "sec"], None, None),
    ("secret data", ["get", "secret", "sec", "-o", "jsonpath={.data.password} {.type}"], None, None),
    ("service account", ["create", "serviceaccount", "sa"], None, None),
    ("namespace", ["create", "namespace", "MORE"], None, None),
    ("namespace shown", ["get", "ns", "MORE"], None, None),
    ("in it", ["-n", "MORE", "create", "-f", "-"], widget("inside"), None),
    ("role", ["create", "role", "reader", "--verb=get,list", "--resource=configmaps"], None, None),
    ("role binding", ["create", "rolebinding", "readers", "--role=reader", "--user=jane"], None, None),
    ("roles shown", ["get", "roles,rolebindings"], None, None),
    ("can I", ["auth", "can-i", "create", "widgets"], None, None),
    ("can I all", ["auth", "can-i", "*", "*"], None, None),
    ("can I what is not there", ["auth", "can-i", "get", "gizmos"], None, None),
    ("api resources", ["api-resources", "--api-group=e2e.test"], None, None),
    ("api resources by verb", ["api-resources", "--api-group=e2e.test", "--verbs=list,watch", "-o", "name"], None, None),
    ("api versions", ["api-versions"], None, None),
    ("crd shown", ["get", "crd", "widgets.e2e.test"], None, None),
    ("crd established", ["wait", "crd/widgets.e2e.test", "--for=condition=Established", "--timeout=10s"], None, None),
    ("raw", ["get", "--raw", "/apis/e2e.test/v1"], None, None),
    ("raw not found", ["get", "--raw", "/apis/e2e.test/v9"], None, None),
    ("raw healthz", ["get", "--raw", "/healthz"], None, None),
    ("clean up", ["delete", "cm,secret,sa,role,rolebinding", "cm", "sec", "sa", "reader", "readers", "--ignore-not-found"], None, None),
]

# Steps whose outputs hold what one server has by nature and the other has not: only these lines count.
ONLY = {"api versions": re.compile(r"^(e2e\.test|apiextensions|coordination|v1$)")}
# kubectl 1.27 itself tells the keys in the order of Go's maps, which is by chance: only what the lines are counts.
UNORDERED = {"config map told"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    need("kubectl")
    with Up(tmp_path_factory.mktemp("parity") / "troupe") as running:
        yield running


def play(kubectl, namespace):
    """All steps in order: (name, exit code, output, errors)."""
    kubectl("create", "namespace", namespace)
    kubectl("apply", "-f", CRD)
    kubectl("wait", "crd/widgets.e2e.test", "--for=condition=Established")
    until("discovery of the new kind", lambda: "widgets" in kubectl("api-resources", "--api-group=e2e.test"))
    kubectl.namespace = namespace
    seen = {}
    for name, args, stdin, env in STEPS:
        args = [arg.replace("MORE", f"{namespace}-more") for arg in args]
        done = kubectl.run(*args, stdin=stdin, env=env)
        out, err = mask(done.stdout), mask(done.stderr)
        if name in ONLY:
            out = "\n".join(line for line in out.splitlines() if ONLY[name].search(line))
        if name in UNORDERED:
            out = "\n".join(sorted(out.splitlines()))
        seen[name] = (done.returncode, unmanaged(out), err)
    kubectl.namespace = None
    kubectl("delete", "namespace", namespace, f"{namespace}-more", "--wait=false")
    kubectl("delete", "crd", "widgets.e2e.test")
    return seen


def unmanaged(text):
    """Without managedFields: the embedded API has no server-side apply yet and keeps none."""
    return re.sub(r'(?m)^ +"?managedFields"?:.*?(?=^ {0,4}"?[a-z])', "", text, flags=re.S)


@pytest.fixture(scope="module", params=["kubectl", "kubectl127"])
def answers(request, ours, kube_apiserver):
    need(request.param)
    namespace = f"e2e-{request.param}"
    mine = play(Kubectl(ours.kubeconfig, request.param), namespace)
    real = play(Kubectl(kube_apiserver.kubeconfig, request.param), namespace)
    return mine, real


@pytest.mark.parametrize("step", [step[0] for step in STEPS])
def test_same_answer(answers, step):
    mine, real = answers
    assert mine[step] == real[step]
