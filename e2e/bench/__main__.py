"""`python3 -m e2e.bench CASE`: prints figures, ratios and targets; JSON goes to e2e/bench/results."""

import argparse
import json
import platform
import time

from e2e.bench import quickstart
from e2e.harness import paths

CASES = {"quickstart": quickstart}


def main():
    parser = argparse.ArgumentParser(prog="e2e.bench", description=__doc__)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--runs", type=int, default=5, help="how often each case is run (default 5)")
    args = parser.parse_args()
    figures = CASES[args.case].run(args.runs)
    print(f"{'figure':<44}{'min':>10}{'median':>10}{'max':>10}{'target':>10}")
    for figure in figures:
        low, middle, high = spread(figure["values"])
        met = "met" if middle <= figure["target"] else "MISSED"
        name = f"{figure['name']} ({figure['unit']})"
        print(f"{name:<44}{low:>10.2f}{middle:>10.2f}{high:>10.2f}{figure['target']:>10g}  {met}")
    folder = paths.ROOT / "e2e" / "bench" / "results"
    folder.mkdir(exist_ok=True)
    report = {"case": args.case, "at": time.time(), "machine": platform.platform(), "figures": figures}
    (folder / f"{args.case}.json").write_text(json.dumps(report, indent=1) + "\n")


def spread(values):
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


if __name__ == "__main__":
    main()
