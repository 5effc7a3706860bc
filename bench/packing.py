"""Packing and compression alone: azure-monitor-ingestion's own, ours, and ours stage by stage."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from azure.monitor.ingestion._helpers import _create_gzip_requests  # the packing of upload(list)

from bench.vendor import PAGE, activity_bodies
from shared.connectors.sentinelone import ACTIVITIES
from shared.connectors.sentinelone.answers import Listed
from shared.delivery.batch import Packer, compress, decompress
from shared.polling.prepare import RecordPreparer
from shared.records.codec import parse_json
from shared.records.declared import declared_fields
from shared.records.encoder import Encoder
from shared.records.raw import parse_answer, records_of
from shared.source.stream import Page
from shared.state.fingerprints import FingerprintSet

Result = dict[str, Any]
_ROUNDS = 5


def page_body(records: int = PAGE) -> bytes:
    """An answer of SentinelOne with so many activities."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    encoded = []
    for number, body in enumerate(activity_bodies(records)):
        time_of = (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        head = f'{{"id":"{number:018d}","createdAt":"{time_of}","updatedAt":"{time_of}",'
        encoded.append(head.encode() + body)
    return b'{"data":[%s],"pagination":{"totalItems":%d}}' % (b",".join(encoded), records)


def cpu_seconds(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """The least processor time of several rounds: other load only adds to it."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def packing(records: int) -> Result:
    """Pack and compress the same records both ways; check that each id is there once.

    ``stages`` has the seconds of each stage of ours.
    """
    body = page_body(records)
    rows = parse_json(body)["data"]
    added = {"event_name": "Activities."}
    theirs_in: list[MutableMapping[str, Any]] = [
        {**row, **added, "TimeGenerated": row["createdAt"]} for row in rows
    ]
    prepare = RecordPreparer(ACTIVITIES, declared_fields(ACTIVITIES.name))
    ours: list[bytes] = []
    theirs: list[bytes] = []

    records_in = parse_answer(body, Listed)["data"]
    encode = Encoder(declared_fields(ACTIVITIES.name), ACTIVITIES.added)
    times = [datetime.fromisoformat(row["createdAt"]) for row in rows]

    def our_way() -> None:
        ours[:] = [compress(batch.body()) for batch in _packed(prepare(Page(records_in, 0)).bodies)]

    def their_way() -> None:
        theirs[:] = [body for body, _ in _create_gzip_requests(theirs_in)]

    def alone() -> None:
        # Without times and fingerprints, which the SDK does not make either.
        encoded = encode.encode_verbatim(records_in, times)
        ours[:] = [compress(batch.body()) for batch in _packed(encoded)]

    their_seconds, our_seconds = cpu_seconds(their_way), cpu_seconds(our_way)
    sent = [orjson.loads(decompress(body)) for body in ours]
    ids = sorted(record["id"] for batch in sent for record in batch)
    assert ids == sorted(row["id"] for row in rows), "ours lost or repeated a record"
    unpacked = [orjson.loads(zlib.decompress(body, 31)) for body in theirs]
    assert sum(map(len, unpacked)) == records, "theirs lost or repeated a record"
    our_bytes = sum(map(len, ours))
    alone_seconds = cpu_seconds(alone)
    return {
        "theirs": their_seconds,
        "ours": our_seconds,
        "alone": alone_seconds,
        "their_bytes": sum(map(len, theirs)),
        "our_bytes": our_bytes,
        "their_raw": sum(len(zlib.decompress(body, 31)) for body in theirs),
        "our_raw": sum(len(decompress(body)) for body in ours),
        "stages": stages(),
    }


def stages() -> Result:
    """Processor seconds of each stage for a page of 1,000 records, and the page's bytes."""
    body = page_body()
    page = parse_answer(body, Listed)["data"]
    prepare = RecordPreparer(ACTIVITIES, declared_fields(ACTIVITIES.name))
    prepared = prepare(Page(page, 0))
    batch = b"[" + b",".join(prepared.bodies) + b"]"

    def take() -> None:
        seen, rest = FingerprintSet(), prepared.bodies
        seen.isdisjoint(prepared.fingerprints)
        seen.update(prepared.fingerprints)
        packer = Packer(ACTIVITIES.name)
        while rest := rest[packer.fill(rest) :]:
            packer.flush()

    work: dict[str, Callable[[], object]] = {
        "cut": lambda: records_of(parse_answer(body, Listed)["data"]),
        "prepare": lambda: prepare(Page(page, 0)),
        "take": take,
        "compress": lambda: compress(batch),
    }
    return {name: cpu_seconds(stage, 20) for name, stage in work.items()} | {"page": len(body)}


def _packed(records: Any) -> list[Any]:
    packer = Packer(ACTIVITIES.name)
    batches = [full for record in records if (full := packer.add(record))]
    if last := packer.flush():
        batches.append(last)
    return batches
