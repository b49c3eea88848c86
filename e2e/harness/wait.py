"""Waiting for what must come, with a bound that only a hang reaches."""

import time


def until(what, probe, limit=60.0, pause=0.05):
    """Calls `probe` until it gives something true, which is returned; fails with `what` at the limit."""
    end = time.monotonic() + limit
    last = None
    while True:
        try:
            got = probe()
            if got:
                return got
            last = got
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit:g} s; last seen: {last!r}")
        time.sleep(pause)
