"""zkCli, Apache's own command line, by script."""

import re
import subprocess

from .zookeepers import apache_lib


def run(commands, server):
    """All that zkCli said. It answers a word that it does not know with all that it knows, and the word: such words
    stand between the commands."""
    script = []
    for at, command in enumerate(commands):
        script += [command, f"MARK-{at}"]
    done = subprocess.run(
        [
            "java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
            "-cp", f"{apache_lib()}/*", "org.apache.zookeeper.ZooKeeperMain",
            "-waitforconnection", "-timeout", "30000", "-server", server.address,
        ],
        input="\n".join([*script, "quit", ""]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    return done.stdout


def answers(output, masks):
    """What was said to each command, by its place in the script; and the events, which come when they come. `masks`:
    patterns, and what takes the place of what they find."""
    output = output.split("JLine support is disabled\n", 1)[1]
    for pattern, to in masks:
        output = re.sub(pattern, to, output, flags=re.MULTILINE)
    said, events, now = {}, [], []
    for line in output.splitlines():
        if mark := re.fullmatch(r"Command not found: Command not found MARK-(\d+)", line):
            # The order of what somebody proved to be is nobody's business.
            said[int(mark.group(1))] = sorted(now) if now[:1] == ["Auth scheme: User"] else now
            now = []
        elif line.startswith("WatchedEvent "):
            events.append(line)
        elif line not in ("", "WATCHER::") and not line.startswith(("ZooKeeper -server host:port ", "\t")):
            now.append(line)
    return said, events
