"""What a vendor's update does to a backlog, and nine idle streams to the tenth."""

from __future__ import annotations

import statistics
from typing import Any

from bench.measures import Row, Sizes, poll
from bench.vendor import KINDS
from bench.world import World
from shared.connectors import sentinelone

_NAMES = {
    "field": "a field in each record that no stream declares",
    "secret": "a field to redact in one record of a hundred",
    "escapes": "escaped text in each record",
    "umlauts": "non-ASCII text in each record",
}
ALL_STREAMS = ",".join(sentinelone.STREAM_NAMES)


def changed_records(world: World, sizes: Sizes) -> list[Row]:
    """Point 6: records as an update makes them, beside records of declared ASCII fields."""
    rounds = [
        {kind: poll(world, "poll", sizes.changed, kind) for kind in KINDS}
        for _ in range(sizes.changed_rounds)
    ]
    plain = [poll(world, "straightforward", sizes.changed, "field") for _ in rounds[:1]]
    rows = [_beside_plain(kind, name, rounds, sizes) for kind, name in _NAMES.items()]
    times = statistics.median(r["field"]["rate"] for r in rounds) / plain[0]["rate"]
    speed = max(_speed(r["field"]) for r in rounds)
    rows.append(
        Row(
            "6",
            "the same beside the straightforward way, with a field that no stream declares",
            ">= 7 times, >= 33 MB/s",
            f"{times:.1f} times, {speed:.1f} MB/s",
            times >= 7 and speed >= 33,
        )
    )
    return rows


def _beside_plain(kind: str, name: str, rounds: list[dict[str, Any]], sizes: Sizes) -> Row:
    rate = statistics.median(r[kind]["rate"] / r[""]["rate"] for r in rounds)
    memory = statistics.median(r[kind]["peak"] / r[""]["peak"] for r in rounds)
    return Row(
        "6",
        f"a backlog of {sizes.changed:,} with {name}, one without being 1",
        ">= 0.85 records/s, <= 1.15 memory",
        f"{rate:.2f} and {memory:.2f} ({_speed(rounds[0][kind]):.1f} MB/s)",
        rate >= 0.85 and memory <= 1.15,
    )


def _speed(found: dict[str, Any]) -> float:
    """MB/s before compression."""
    return float(found["received"]["raw_bytes"] / found["seconds"] / 1e6)


def one_behind(world: World, sizes: Sizes) -> list[Row]:
    """Point 8: one stream behind and nine idle, beside the one alone.

    The idle ones cost what they do once a run, so the run is as long as a backlog makes it.
    """
    alone, among = [], []
    for _ in range(sizes.behind_rounds):
        alone.append(poll(world, "poll", sizes.behind))
        among.append(poll(world, "poll", sizes.behind, streams=ALL_STREAMS))
    share = statistics.median(b["rate"] / a["rate"] for a, b in zip(alone, among, strict=True))
    more = statistics.median(b["seconds"] - a["seconds"] for a, b in zip(alone, among, strict=True))
    return [
        Row(
            "8",
            f"records/s of a stream that is {sizes.behind:,} behind among nine idle ones, alone "
            "being 1",
            ">= 0.9",
            f"{share:.2f} ({max(b['rate'] for b in among):,.0f} records/s; the nine take "
            f"{more:.1f} s of a run)",
            share >= 0.9,
        )
    ]
