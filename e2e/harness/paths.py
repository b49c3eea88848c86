"""Where things are."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "e2e" / ".work"
BIN = WORK / "bin"
QUICKSTART = ROOT / "manifests" / "quickstart"


def troupe() -> pathlib.Path:
    """The binary under test: $TROUPE_BIN, else the release build."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(os.environ.get("TROUPE_BIN", target / "release" / "troupe"))
    assert path.exists(), f"{path} is not built: cargo build --release"
    return path
