"""`python3 -m e2e.bench CASE`: prints figures, ratios and targets; JSON goes to e2e/bench/results."""

import argparse
import json
import platform
import signal
import statistics
import sys
import time

from e2e.bench import ensemble, quickstart, quorum, replacement
from e2e.harness import paths

CASES = {"ensemble": ensemble, "quickstart": quickstart, "quorum": quorum, "replacement": replacement}


def main():
    parser = argparse.ArgumentParser(prog="e2e.bench", description=__doc__)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--runs", type=int, help="how often each case is run (default 5; 2 with --short)")
    parser.add_argument("--short", action="store_true", help="smaller and shorter, for CI (quorum: 2 minutes, ensemble: 2 minutes)")
    parser.add_argument("--only", help="quorum, ensemble: only the cases and parts whose names have one of these words, as `create;memory`")
    parser.add_argument("--folder", help="where data are kept while it runs: the disk that is measured (default /tmp)")
    args = parser.parse_args()
    # Told to end, it ends what it started first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))
    figures, details = CASES[args.case].run(args)
    print(f"{'figure':<52}{'min':>10}{'median':>10}{'max':>10}{'target':>12}")
    for figure in figures:
        low, middle, high = spread(figure["values"])
        name = f"{figure['name']} ({figure['unit']})"
        print(f"{name:<52}{low:>10.2f}{middle:>10.2f}{high:>10.2f}{against(figure, middle)}")
    folder = paths.ROOT / "e2e" / "bench" / "results"
    folder.mkdir(exist_ok=True)
    report = {"case": args.case, "at": time.time(), "machine": platform.platform(), "figures": figures, **details}
    (folder / f"{args.case}.json").write_text(json.dumps(report, indent=1) + "\n")


def against(figure, middle):
    """The target, and whether the median meets it; nothing for a figure that stands beside another."""
    target = figure["target"]
    if target is None:
        return ""
    met = middle >= target if figure.get("at_least") else middle <= target
    bound = f"{'>=' if figure.get('at_least') else '<='} {target:g}"
    return f"{bound:>12}  {'met' if met else 'MISSED'}"


def spread(values):
    ordered = sorted(values)
    return ordered[0], statistics.median(ordered), ordered[-1]


if __name__ == "__main__":
    main()
