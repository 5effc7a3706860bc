"""Bodies of which a part or all cannot be read: everything is kept, told, and bounded."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer, delay
from shared.webhook.body import MAX_BYTES
from tests.app import App, ask
from tests.webhook.measure_post import BODIES
from tests.webhook.posts import STREAM, TOKEN, dead_letters, events, post

_MOST_BYTES = 300_000_000
# The answer to each of measure_post's bodies.
_ANSWERS = {
    "three million objects": 413,
    "objects in one event": 413,
    "numbers in one event": 413,
    "one long text": 200,
    "one long text of emoji": 400,
    "lines that are no JSON": 413,
    "a text that is no JSON": 400,
    "an event among lines": 200,
    "a full batch": 200,
}


def uuids(azure_monitor: AzureMonitor) -> list[str]:
    return [record["uuid"] for record in azure_monitor.records(STREAM)]


@pytest.mark.parametrize(
    "cut",
    [b'{"uuid": "cut', b"nothing", b'{"uuid": "\xff"}', b'{"a":' * 2000],
    ids=["cut", "no JSON", "not UTF-8", "deep"],
)
def test_a_line_that_cannot_be_read_costs_no_other(onelogin: AzureMonitor, cut: bytes) -> None:
    """Of 1,000 lines 999 arrive, and the line is in the dead letters as it came."""
    lines = [json.dumps(each).encode() for each in events(1000)]
    lines[500] = cut
    assert post(b"\n".join(lines)).status_code == 200
    assert uuids(onelogin) == [f"uuid-{number}" for number in range(1000) if number != 500]
    (letter,) = dead_letters()
    assert as_it_came(letter["record"]) == cut
    assert letter["stream"] == STREAM


def as_it_came(record: str) -> bytes:
    """The bytes of a dead letter that is no JSON."""
    head, _, rest = record.partition("data:;base64,")
    return base64.b64decode(rest) if not head and rest else record.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"user=1&event=2",
        b'[{"uuid": "1"}, {"uuid',
        b"\xff\xfe[]",
        b"17",
        gzip.compress(json.dumps(events(3)).encode(), mtime=0)[:-9],
        b"n" * 2_000_000,
    ],
    ids=["form", "cut array", "not UTF-8", "bare value", "cut gzip", "large"],
)
def test_a_body_that_cannot_be_read_is_kept_once(onelogin: AzureMonitor, body: bytes) -> None:
    """However often the sender repeats it, it is answered 400 and stands in dead-letters once."""
    assert [post(body).status_code for _ in range(3)] == [400] * 3
    (letter,) = dead_letters()
    assert as_it_came(str(letter["record"])) == body
    assert letter["message"]
    assert uuids(onelogin) == []


def test_an_empty_body_leaves_nothing(onelogin: AzureMonitor) -> None:
    """There is nothing to keep of it."""
    assert post(b" \n").status_code == 400
    assert list(dead_letters()) == []


def test_a_body_that_cannot_be_kept_is_asked_for_again(
    onelogin: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the blobs away the answer is 503: the sender still has the body."""
    monkeypatch.setenv(
        "AzureWebJobsStorage", f"{storage};BlobEndpoint=http://127.0.0.1:1/devstoreaccount1"
    )
    answered = post(b"nothing")
    assert (answered.status_code, answered.headers["Retry-After"]) == (503, "60")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"user=1&event=2", 400, "neither a JSON array"),
        (b"[" + b"{}," * 50_000 + b"{}]", 413, "50,000 events"),
        (b" " * (MAX_BYTES + 1), 413, "32 MB"),
    ],
    ids=["unreadable", "too many", "too large"],
)
def test_a_body_that_is_not_taken_is_told_until_a_good_post_comes(
    app: App, body: bytes, status: int, reason: str
) -> None:
    """The connector is failing, with the reason and what to do; a good post ends it.

    What is too large is not kept: the sender has it.
    """
    answered = app.post_body(body)
    assert answered.status == status
    assert len(list(dead_letters())) == (0 if status == 413 else 1)
    assessment = app.stream("OneLogin")["assessment"]
    assert assessment["state"] == "failing"
    assert reason in assessment["reason"]
    assert "good post" in assessment["advice"]
    app.health.rows.flush()
    (row,) = app.monitor.records("Custom-ConnectorHealth")
    assert (row["Status"], row["ErrorClass"]) == ("failing", "PostRefused")

    app.post_events(events(1))
    assert app.stream("OneLogin")["assessment"]["state"] == "ok"


@pytest.mark.parametrize("name", BODIES)
def test_a_post_costs_bounded_memory(onelogin: AzureMonitor, name: str) -> None:
    """No body, of 9 KB or of 32 MB, costs more than 300 MB beyond itself."""
    measured = measure(name)
    assert measured["bytes"] < _MOST_BYTES
    assert measured["status"] == _ANSWERS[name]


@pytest.mark.slow
def test_a_post_that_is_spooled_costs_bounded_memory(onelogin: AzureMonitor) -> None:
    """The same while Azure Monitor is down, and 50,000 events go to the spool."""
    onelogin.faults.add("/streams/", answer(503), times=FOREVER)
    measured = measure("a full batch")
    assert measured["bytes"] < _MOST_BYTES
    assert measured["status"] == 200


def measure(name: str) -> dict[str, int]:
    """The status of a post, and what it took, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.webhook.measure_post", name],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_two_large_posts_at_a_time(onelogin: AzureMonitor) -> None:
    """A third large post is told to come again soon; a small one is taken all the same."""
    onelogin.faults.add("/streams/", delay(1.0), times=100)
    large = [json.dumps(each).encode() + b" " * 5_000_000 for each in events(3)]
    start = threading.Barrier(3)

    def send(body: bytes) -> tuple[int, str]:
        start.wait()
        answered = post(body)
        return answered.status_code, answered.headers.get("Retry-After", "")

    with ThreadPoolExecutor(4) as senders:
        sent = [senders.submit(send, b"[" + body + b"]") for body in large]
        answers = sorted(future.result() for future in sent)
    assert answers == [(200, ""), (200, ""), (503, "5")]
    assert post(events(1, start=9), authorization=f"Bearer {TOKEN}").status_code == 200
    assert ask("GET").status_code == 200
