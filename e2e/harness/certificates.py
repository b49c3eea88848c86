"""Certificates, made by the real openssl."""

import pathlib
import subprocess


class Authority:
    """One that signs certificates, in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.crt, self.key = self.folder / "ca.crt", self.folder / "ca.key"
        request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        openssl(*request, "-subj", "/CN=authority", "-keyout", self.key, "-out", self.crt)

    def issue(self, name):
        """The files of a certificate for a name and for loopback, and of its key."""
        crt, key, csr = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl(*request, "-subj", f"/CN={name}", "-keyout", key, "-out", csr)
        names = self.folder / f"{name}.ext"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        signed = ["-CA", self.crt, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", names]
        openssl("x509", "-req", "-in", csr, *signed, "-out", crt)
        return crt, key

    def secret(self, kubectl, name, subject="member"):
        """Makes or replaces a Secret with a certificate of its own and the authority's."""
        crt, key = self.issue(subject)
        text = kubectl(
            "create", "secret", "generic", name, f"--from-file=tls.crt={crt}", f"--from-file=tls.key={key}",
            f"--from-file=ca.crt={self.crt}", "--dry-run=client", "-o", "yaml",
        )  # fmt: skip
        kubectl("apply", "-f", "-", stdin=text)
        return crt, key


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
