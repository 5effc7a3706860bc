"""The benchmarks point by point: measurement, check and requirement."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.world import World

ACTIVITIES = "Custom-SentinelOneActivities"
ONELOGIN = "Custom-OneLogin"
EVENTS_A_POST = 10


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the benchmarks; ``QUICK`` suffices to see that each is correct."""

    backlog: int = 100_000
    backlog_rounds: int = 3
    packing: int = 20_000
    growth: tuple[int, ...] = (20_000, 100_000, 500_000)
    growth_rounds: int = 3
    posts: int = 500
    sustained_posts: int = 3_000
    cold_starts: int = 7
    changed: int = 60_000
    changed_rounds: int = 3
    behind: int = 500_000
    behind_rounds: int = 2
    loaded_posts: int = 2_000
    spooled_posts: int = 14_000
    connections: int = 150
    backlog_connections: int = 40
    connection_backlog: int = 2_500
    known: int = 500_000
    known_backlog: int = 50_000
    beside_posts: int = 200
    beside_backlog: int = 60_000


QUICK = Sizes(
    backlog=3_000,
    backlog_rounds=1,
    packing=2_000,
    growth=(1_000, 2_000, 6_000),
    growth_rounds=1,
    posts=5,
    sustained_posts=60,
    cold_starts=1,
    changed=3_000,
    changed_rounds=1,
    behind=3_000,
    behind_rounds=1,
    loaded_posts=100,
    spooled_posts=200,
    connections=6,
    backlog_connections=6,
    connection_backlog=100,
    known=2_000,
    known_backlog=2_000,
    beside_posts=5,
    beside_backlog=1_000,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``holds`` is None where nothing is required."""

    point: str
    what: str
    required: str
    measured: str
    holds: bool | None


class BenchmarkInvalid(Exception):
    """A benchmark lost or repeated a record, so its speed means nothing."""


def poll(
    world: World, task: str, records: int, kind: str = "", streams: str = "activities"
) -> dict[str, Any]:
    """A worker's run over a new tenant's backlog, with the servers' own counts of it."""
    world.forget()
    cpu = {"vendor": -world.vendor.cpu_seconds(), "monitor": -world.monitor.cpu_seconds()}
    tenant = world.tenant(records, kind)
    settings = {"SentinelOneUrl": tenant, "SentinelOneStreams": streams}
    found = world.work(task, settings)
    found["received"] = check(world, ACTIVITIES, records)
    found["rate"] = records / found["seconds"]
    found["vendor_cpu"] = cpu["vendor"] + world.vendor.cpu_seconds()
    found["monitor_cpu"] = cpu["monitor"] + world.monitor.cpu_seconds()
    found["asked"] = len(world.vendor_requests(tenant))
    return found


def check(world: World, stream: str, records: int) -> dict[str, int]:
    """Azure Monitor's totals of ``stream``; raise ``BenchmarkInvalid`` unless they are exact."""
    received = world.received(stream)
    if not received.get("records") == received.get("distinct") == records:
        raise BenchmarkInvalid(
            f"{stream}: {records} records were sent, Azure Monitor has {received}"
        )
    return received


def backlog(world: World, sizes: Sizes) -> tuple[list[Row], dict[str, Any]]:
    """Points 1 and 7: a backlog both ways; the median of the rounds' ratios counts."""
    rounds = [
        {task: poll(world, task, sizes.backlog) for task in ("straightforward", "poll")}
        for _ in range(sizes.backlog_rounds)
    ]
    ratio = statistics.median(r["poll"]["rate"] / r["straightforward"]["rate"] for r in rounds)
    cpu_ratio = statistics.median(r["straightforward"]["cpu"] / r["poll"]["cpu"] for r in rounds)
    ours = max((r["poll"] for r in rounds), key=lambda found: found["rate"])
    plain = max((r["straightforward"] for r in rounds), key=lambda found: found["rate"])
    speed = ours["received"]["raw_bytes"] / ours["seconds"] / 1e6
    per_million = 1_000_000 / sizes.backlog
    rows = [
        Row(
            "1",
            f"backlog of {sizes.backlog:,} activities of 1 KB, beside the straightforward way",
            ">= 7 times",
            f"{ratio:.1f} times ({ours['rate']:,.0f} and {plain['rate']:,.0f} records/s; "
            f"{cpu_ratio:.1f} times by processor time)",
            ratio >= 7,
        ),
        Row("1", "a rule's limit", ">= 33 MB/s", f"{speed:.1f} MB/s", speed >= 33),
    ]
    for name, found in (("ours", ours), ("the straightforward way", plain)):
        got = found["received"]
        rows.append(
            Row(
                "7",
                f"a million events, {name}",
                "",
                f"{got['wire_bytes'] * per_million / 1e6:,.0f} MB sent "
                f"({got['raw_bytes'] * per_million / 1e6:,.0f} MB before compression), "
                f"{got['requests'] * per_million:,.0f} uploads, "
                f"{found['asked'] * per_million:,.0f} requests to the vendor; "
                f"{found['cpu'] * per_million:.1f} s of CPU, "
                f"{found['seconds'] * found['peak'] / 1e6 * per_million:,.0f} MB-seconds",
                None,
            )
        )
    return rows, {"ours": ours, "straightforward": plain, "speed": speed}


def packing(world: World, sizes: Sizes) -> tuple[list[Row], dict[str, Any]]:
    """Point 2: packing and compression, without any server."""
    found = world.work("packing.packing", {}, records=sizes.packing)
    ratio = found["theirs"] / found["alone"]
    sent = found["our_bytes"] / found["their_bytes"]
    raw = found["our_raw"] / found["their_raw"]
    whole = found["theirs"] / found["ours"]
    rows = [
        Row(
            "2",
            "packing and compression beside azure-monitor-ingestion's",
            ">= 8 times",
            f"{ratio:.1f} times ({whole:.1f} with our times, fingerprints and redaction in it)",
            ratio >= 8,
        ),
        Row(
            "2",
            "bytes before compression (billed and limited), the SDK's being 1",
            "<= 1",
            f"{raw:.2f}; {sent:.2f} compressed",
            raw <= 1,
        ),
    ]
    return rows, found


def growth(world: World, sizes: Sizes) -> list[Row]:
    """Point 3: memory and speed over three sizes of backlog; the best of the rounds."""
    rates = dict.fromkeys(sizes.growth, 0.0)
    cpu = dict.fromkeys(sizes.growth, float("inf"))
    peaks = dict.fromkeys(sizes.growth, 0)
    for _ in range(sizes.growth_rounds):
        for records in sizes.growth:
            found = poll(world, "poll", records)
            rates[records] = max(rates[records], found["rate"])
            cpu[records] = min(cpu[records], found["cpu"] / records * 1e6)
            peaks[records] = max(peaks[records], found["peak"])
    smallest, largest = min(sizes.growth), max(sizes.growth)
    grown = peaks[largest] / peaks[smallest]
    names = ", ".join(f"{records:,}" for records in sizes.growth)
    return [
        Row(
            "3",
            f"peak memory of a run over {names} records",
            "<= 1.15 times, < 160 MB",
            f"{grown:.2f} times; " + ", ".join(f"{p / 1e6:.0f}" for p in peaks.values()) + " MB",
            grown <= 1.15 and peaks[largest] < 160e6,
        ),
        Row(
            "3",
            f"records/s at {names}",
            "",
            ", ".join(f"{rate:,.0f}" for rate in rates.values())
            + "; "
            + ", ".join(f"{each:.0f}" for each in cpu.values())
            + " µs of processor a record",
            None,
        ),
    ]


def webhook(world: World, sizes: Sizes) -> list[Row]:
    """Point 4: latency beside a pass-through, then the highest rate on one core."""
    settings = {"OneLoginBearerToken": "made-up-bearer-token"}
    world.forget()
    found = world.work("webhook.latency", settings, posts=sizes.posts)
    check(world, ONELOGIN, found["sent"])
    ours, bare = percentile(found["ours"], 99), percentile(found["bare"], 99)
    world.forget()
    steady = world.work("webhook.sustained", settings, posts=sizes.sustained_posts)
    check(world, ONELOGIN, steady["sent"])
    events = sizes.sustained_posts * EVENTS_A_POST
    rate, capacity = events / steady["seconds"], events / steady["cpu"]
    return [
        Row(
            "4",
            "p99 of a 10-event post beside a pass-through that only uploads",
            "<= 1.5 times",
            f"{ours / bare:.2f} times ({ours * 1000:.0f} and {bare * 1000:.0f} ms)",
            ours / bare <= 1.5,
        ),
        Row(
            "4",
            f"events/s on one core, {events:,} in all",
            ">= 1,000",
            f"{rate:,.0f} ({capacity:,.0f} by processor time)",
            rate >= 1000,
        ),
    ]


def idle(world: World, sizes: Sizes) -> list[Row]:
    """Point 5: a poll with nothing new, and a cold start."""
    tenant = world.tenant(0)
    jira = {"JiraHomeSiteName": tenant, "JiraUsername": "a@example.com", "JiraAccessToken": "x"}
    found = world.work("idle", {"SentinelOneUrl": tenant, **jira})
    if set(found["statuses"]) != {"ok"}:
        raise BenchmarkInvalid(f"an idle poll ended {found['statuses']}")
    requests, writes = found["requests"].values(), found["writes"].values()
    starts = [
        (
            world.work("cold_start", {"SentinelOneUrl": world.tenant(0)})["seconds"],
            world.work("import_sdks", {})["seconds"],
        )
        for _ in range(sizes.cold_starts)
    ]
    cold, sdks = (statistics.median(times) for times in zip(*starts, strict=True))
    return [
        Row(
            "5",
            f"idle poll of {len(requests)} streams that are due",
            "<= 1 request and 1 write each, < 0.5 s of CPU",
            f"{max(requests)} and {max(writes)}, {found['cpu']:.2f} s",
            max(requests) <= 1 and max(writes) <= 1 and found["cpu"] < 0.5,
        ),
        Row(
            "5",
            "cold start, import to first request, beside importing a poll's four Azure clients",
            "<= 1.5 times",
            f"{cold / sdks:.2f} times ({cold:.2f} and {sdks:.2f} s)",
            cold / sdks <= 1.5,
        ),
    ]


def percentile(times: Sequence[float], of_hundred: int) -> float:
    """The time that ``of_hundred`` percent of the times do not exceed."""
    ordered = sorted(times)
    return ordered[max(-(-len(ordered) * of_hundred // 100) - 1, 0)]


def bounds(packed: dict[str, Any], poll: dict[str, Any], records: int) -> Iterator[str]:
    """Rows of the page's second table: each stage alone on one core, and its share of a run."""
    stages, page = packed["stages"], packed["stages"]["page"]
    total = poll["ours"]["cpu"] / records * 1000
    names = {
        "cut": "cut records out of an answer (msgspec)",
        "prepare": "times, fingerprints, added fields",
        "take": "know repeats, fill batches",
        "compress": "compress (ISA-L)",
    }
    for stage, name in names.items():
        seconds = stages[stage]
        yield f"| {name} | {page / seconds / 1e6:,.0f} | {seconds / total:.0%} |"
    rest = total - sum(stages[stage] for stage in names)
    yield f"| TLS, HTTP, Azure's clients, commits, waiting for each other | | {rest / total:.0%} |"
