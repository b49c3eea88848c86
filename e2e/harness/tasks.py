"""The users' processes as the kernel sees them."""

import pathlib

HIERARCHY = pathlib.Path("/sys/fs/cgroup")


class Task:
    """One process of an instance: its environment, and its cgroups."""

    def __init__(self, pid, environ):
        self.pid = pid
        self.environ = environ
        self.id = environ.get("MESOS_TASK_ID", "")
        self.started = started(pid)

    def __repr__(self):
        return f"Task({self.id}, pid {self.pid})"

    def cgroup(self, controller):
        """The folder of its cgroup for a v1 controller, or of its v2 cgroup."""
        for line in pathlib.Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return HIERARCHY / controller / path.lstrip("/")
        path = pathlib.Path(f"/proc/{self.pid}/cgroup").read_text().split("0::")[1].splitlines()[0]
        return HIERARCHY / path.lstrip("/")

    def limit(self, controller, v1, v2):
        """The value of a limit file, by its name on v1 and v2."""
        folder = self.cgroup(controller)
        for name in (v1, v2):
            if (folder / name).exists():
                return (folder / name).read_text().strip()
        raise AssertionError(f"{folder} has neither {v1} nor {v2}")


def started(pid):
    """The start time in clock ticks: with the pid, a process's identity."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def tasks_of(data_dir):
    """The processes whose sandbox lies in the data folder, the first of each instance, by task id."""
    needle = str(data_dir)
    found = {}
    for entry in sorted(pathlib.Path("/proc").iterdir(), key=lambda e: int(e.name) if e.name.isdigit() else 0):
        if not entry.name.isdigit():
            continue
        try:
            pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        environ = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if needle in environ.get("MESOS_SANDBOX", ""):
            task = Task(int(entry.name), environ)
            found.setdefault(task.id, task)
    return found


def cgroups_left(container_ids):
    """The cgroup folders, in any hierarchy, named after one of these containers."""
    left = []
    for root in HIERARCHY.iterdir():
        if root.is_dir():
            left += [p for p in root.glob("**/troupe/**/") if p.name in container_ids]
    return left
