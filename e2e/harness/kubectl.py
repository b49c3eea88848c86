"""The real kubectl."""

import json
import os
import subprocess
import tempfile

from . import paths


class Kubectl:
    """kubectl with one kubeconfig and a discovery cache of its own."""

    def __init__(self, kubeconfig, binary="kubectl", namespace=None):
        self.binary = paths.BIN / binary
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.cache = tempfile.TemporaryDirectory(prefix="kubectl-")

    def command(self, *args):
        command = [str(self.binary), "--kubeconfig", str(self.kubeconfig), "--cache-dir", self.cache.name]
        if self.namespace:
            command += ["--namespace", self.namespace]
        return command + [str(a) for a in args]

    def run(self, *args, stdin=None, env=None, timeout=60):
        """Runs it; the finished process with stdout and stderr, whatever the exit code."""
        return subprocess.run(
            self.command(*args),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=dict(os.environ, **(env or {})),
        )

    def __call__(self, *args, stdin=None, env=None, timeout=60):
        """Runs it and gives its output; a failure is an error with what it said."""
        done = self.run(*args, stdin=stdin, env=env, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.stderr or done.stdout}"
        return done.stdout

    def json(self, *args):
        return json.loads(self(*args, "-o", "json"))

    def popen(self, *args):
        return subprocess.Popen(
            self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
