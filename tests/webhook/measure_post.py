"""Post one body in a process of its own, and print its status and the memory that it took.

Run as ``python -m tests.webhook.measure_post <name of a body>``; the environment has the settings.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import orjson

from shared.webhook.body import MAX_BYTES
from tests.webhook.posts import event, events, post


def _dense_element(element: bytes) -> bytes:
    """One event of nearly 32 MB whose field is an array of ``element``."""
    count = (MAX_BYTES - 100) // (len(element) + 1)
    return b'[{"uuid":"a","notes":[' + b",".join([element] * count) + b"]}]"


def _whole_batch() -> bytes:
    """50,000 events in nearly 32 MB."""
    padding = (MAX_BYTES - 100) // 50_000 - len(orjson.dumps(event(12_345, notes=""))) - 4
    return orjson.dumps([event(number, notes="n" * padding) for number in range(50_000)])


def _one_event_among_lines() -> bytes:
    """An event, and as many lines of text as a post may have, in nearly 32 MB."""
    size = (MAX_BYTES - 1000) // 49_999 - 1
    return orjson.dumps(event(1)) + b"\n" + b"\n".join([b"x" * size] * 49_999)


BODIES: dict[str, Callable[[], bytes]] = {
    "three million objects": lambda: gzip.compress(b"[" + b"{}," * 3_000_000 + b"{}]"),
    "objects in one event": lambda: _dense_element(b"{}"),
    "numbers in one event": lambda: _dense_element(b"1000"),
    "one long text": lambda: b'[{"uuid":"a","notes":"' + b"n" * (MAX_BYTES - 100) + b'"}]',
    "one long text of emoji": lambda: (
        b'[{"uuid":"a","notes":"' + "😀n".encode() * (MAX_BYTES // 5 - 100) + b'"}]'
    ),
    "lines that are no JSON": lambda: b"x\n" * (MAX_BYTES // 2),
    "a text that is no JSON": lambda: "😀".encode() + b"\x01" * (MAX_BYTES - 100),
    "an event among lines": _one_event_among_lines,
    "a full batch": _whole_batch,
}


def main() -> None:
    """Print ``{"status", "bytes"}``; bytes are beyond the body and the warm process."""
    body = BODIES[sys.argv[1]]()
    post(events(5))
    before = _peak_bytes()
    # A peak while the body was made would hide what the post takes.
    held = b"x" * max(before - _resident_bytes(), 0)
    status = post(body).status_code
    print(json.dumps({"status": status, "bytes": _peak_bytes() - before}))
    del held


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main()
