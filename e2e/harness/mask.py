"""Outputs of two servers made comparable: ids, times and what Kubernetes keeps for itself are masked."""

import json
import re

RULES = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"(resourceVersion: |\"resourceVersion\": )\"\d+\"", r'\1"RV"'),
    (r"(Resource Version:\s+)\d+", r"\1RV"),
    (r"(Creation Timestamp|Deletion Timestamp|Last Transition Time|Time):( +)\S+", r"\1:\2TIME"),
    (r"https://127\.0\.0\.1:\d+", "https://SERVER"),
    # Ages: alone in a column, or before "(x2 over 3s)".
    (r"(?<![\w.-])\d+(\.\d+)?(s|m|h|d)(\d+s)?(?![\w.-])", "AGE"),
    (r'"storageVersionHash": ?"[^"]*"', '"storageVersionHash":"HASH"'),
    # The embedded API has no server-side apply yet, and says so in the list of what it takes.
    (r", application/apply-patch\+(yaml|cbor)", ""),
    (r"/tmp/(LIVE|MERGED)-\d+", r"/tmp/\1-N"),
]


def mask(text):
    """The text with every masked span replaced, runs of blanks folded, and the keys of raw JSON in order."""
    if text.startswith("{") and text.count("\n") <= 1:
        text = ordered(text)
    for pattern, to in RULES:
        text = re.sub(pattern, to, text)
    return "\n".join(re.sub(r"[ \t]+", " ", line).rstrip() for line in text.splitlines())


def ordered(text):
    """One line of JSON with its keys sorted; anything else as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text
