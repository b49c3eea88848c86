"""Curator's own tests with Troupe where they would start Apache's server inside the JVM.

What is excluded is in conformance/curator/exclusions.txt with the reason. The classes in conformance/curator/short.txt
are run, which are those that need few seconds and no certain speed of the machine; CURATOR_SUITE=recipes runs all of
Curator's recipes, CURATOR_SUITE=all those of its framework and client, too (20 minutes); any other text names classes,
with commas between them. CURATOR_MEMBERS=3 runs also what wants an
ensemble.
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import xml.etree.ElementTree
import zipfile

import pytest

from e2e.harness import paths

FOLDER = paths.WORK / "curator"
HERE = paths.ROOT / "e2e" / "conformance" / "curator"
EXCLUSIONS = HERE / "exclusions.txt"
MEMBERS = os.environ.get("CURATOR_MEMBERS", "1")
PARTS = {
    "short": ["curator-recipes"],
    "recipes": ["curator-recipes"],
    "all": ["curator-recipes", "curator-framework", "curator-client"],
}
SUITE = os.environ.get("CURATOR_SUITE", "short")
# At least so many tests of theirs must pass: a suite that is not found is no success.
EXPECTED = {"short": 100, "recipes": 150, "all": 510}
# Classes that take longest, to be begun first; the others follow by name.
LONG = [
    "TestTreeCache", "TestLeaderLatch", "TestLeaderSelector", "TestInterProcessSemaphore", "TestInterProcessMutex",
    "TestInterProcessSemaphoreMutex", "TestInterProcessReadWriteLock", "TestPathChildrenCache",
]  # fmt: skip
# They sleep more than they work.
AT_ONCE = 4
TIMING = 2
# Seconds that only a hang takes.
HANG = 900


@pytest.fixture(scope="module", autouse=True)
def fetched():
    if not (FOLDER / ".fetched").exists():
        why = "Curator's tests are not fetched (e2e/conformance/curator/fetch.sh; needs Java and Maven)"
        if os.environ.get("CI") == "true":
            pytest.fail(why + "; with CI=true nothing may be left out")
        pytest.skip(why)


def test_curator_suite(tmp_path):
    """About 3 minutes on two idle processors, which work for 2 of them; all recipes: about 10 minutes."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda name: run(name, tmp_path), classes()))
    passed = [name for result in done for name in result["passed"]]
    failed = [failure for result in done for failure in result["failed"]]
    skipped = [skip for result in done for skip in result["skipped"]]
    print(f"{len(passed)} tests of Curator's passed")
    print("\n".join(f"left out: {name}: {why}" for name, why in skipped))
    assert not failed, "\n\n".join(failed)
    assert len(passed) >= EXPECTED.get(SUITE, 1)
    itself = [name for name, why in skipped if "EXCLUDED" not in why and "@Disabled" not in why]
    assert not itself, f"tests of Curator's skip themselves: {itself}"
    left = {name for name in excluded() if not any(matches(name, test) for test, _ in skipped)}
    assert not left or SUITE != "all", f"excluded, but not in the suite: {sorted(left)}"


def classes():
    """The names of the test classes, as JUnit's launcher would find them; the long ones first."""
    found = []
    for part in PARTS.get(SUITE, PARTS["all"]):
        (jar,) = FOLDER.glob(f"lib/{part}-*-tests.jar")
        names = (name.removesuffix(".class").replace("/", ".") for name in zipfile.ZipFile(jar).namelist())
        found += [name for name in names if re.fullmatch(r".+\.(Test[^.$]*|[^.$]*Tests?)", name)]
    if SUITE not in ("recipes", "all"):
        wanted = set((HERE / "short.txt").read_text().split() if SUITE == "short" else SUITE.split(","))
        found = [name for name in found if short(name) in wanted]
        assert len(found) == len(wanted), wanted - {short(name) for name in found}
    rank = {name: place for place, name in enumerate(LONG)}
    return sorted(found, key=lambda name: (rank.get(short(name), len(rank)), name))


def run(name, folder):
    """One class in a JVM of its own. What passed, what failed and how, what was skipped and why."""
    folder = folder / short(name)
    (folder / "tmp").mkdir(parents=True)
    out = folder / "out.log"
    command = [
        "java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        f"-Djava.io.tmpdir={folder / 'tmp'}", f"-Dtroupe.members={MEMBERS}", f"-Dtroupe.exclusions={EXCLUSIONS}",
        # Curator's own measure: sessions and waits last so many times longer, for machines that are slow or busy.
        f"-Dtiming-multiple={TIMING}",
        "-Djunit.jupiter.extensions.autodetection.enabled=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp", f"{FOLDER / 'classes'}:{FOLDER / 'lib'}/*", "org.junit.platform.console.ConsoleLauncher",
        "execute", "--disable-banner", "--disable-ansi-colors", "--details=testfeed", f"--reports-dir={folder}",
        f"--select-class={name}",
    ]  # fmt: skip
    env = dict(os.environ, TROUPE_BIN=str(paths.troupe()), TROUPE_MEMBERS_LOG=str(folder / "members.log"))
    with open(out, "wb") as log:
        # A group of its own, so that an end by force takes the members with it.
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            process.wait(HANG)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    report = folder / "TEST-junit-jupiter.xml"
    result = {"passed": [], "failed": [], "skipped": []}
    if not report.exists():
        feed = [line for line in out.read_text(errors="replace").splitlines() if line.startswith("JUnit Jupiter > ")]
        result["failed"].append(f"{name} ended without a report (hung, or {process.returncode}); last: {feed[-3:]}")
        return result
    for test in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        label = f"{short(name)}.{test.get('name').split('(')[0]}"
        failure = test.find("failure") if test.find("failure") is not None else test.find("error")
        skip = test.find("skipped")
        if failure is not None:
            result["failed"].append(f"{label}: {(failure.text or failure.get('message') or '')[:1500]}")
        elif skip is not None:
            result["skipped"].append((label, skip.text or ""))
        else:
            result["passed"].append(label)
    return result


def short(name):
    return name.rsplit(".", 1)[-1]


def excluded():
    lines = EXCLUSIONS.read_text().splitlines()
    parts = [[part.strip() for part in line.split("|", 2)] for line in lines if line and not line.startswith("#")]
    assert all(when in ("always", "alone") for when, _, _ in parts)
    return [name for when, name, _ in parts if when == "always" or MEMBERS == "1"]


def matches(exclusion, test):
    """Whether a class or a method's name means the test; inherited methods run in classes of other names."""
    return test == exclusion or test.split(".")[0] == exclusion
