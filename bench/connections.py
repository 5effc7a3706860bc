"""Point 11: many connections, polled by ConnectionPoll as the host calls it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.measures import (
    ACTIVITIES,
    ONELOGIN,
    BenchmarkInvalid,
    Row,
    Sizes,
    check,
    percentile,
)
from bench.world import World

_TICK_SECONDS = 300
_STREAMS = "alerts,threats,activities,devicecontrol"


# The worker's part of an instance: the Functions host and the system have the rest.
_WORKER_SHARE = 0.7


def many(world: World, sizes: Sizes) -> list[Row]:
    """Idle consoles, a backlog over many, polls that know much, and posts beside polls."""
    return [
        *_idle(world, sizes),
        *_backlog(world, sizes),
        *(_crowded(world, sizes, *each) for each in ((4, 2_048), (2, 512))),
        *_posts_beside(world, sizes),
    ]


def _consoles(world: World, count: int, records: int) -> dict[str, str]:
    settings = {"SentinelOneAPIToken": ""}  # no connection without a name
    for number in range(count):
        settings[f"SentinelOneUrl__c{number:03d}"] = world.tenant(records)
        settings[f"SentinelOneAPIToken__c{number:03d}"] = f"made-up-{number}"
    return settings


def _idle(world: World, sizes: Sizes) -> list[Row]:
    count = sizes.connections
    settings = _consoles(world, count, 0) | {"SentinelOneStreams": _STREAMS}
    found = world.work("poll_connections", settings, rounds=2)
    if found["polls"] != count:
        raise BenchmarkInvalid(f"{found['polls']} of {count} idle connections were polled")
    cpu = found["cpu"] / count
    return [
        Row(
            "11",
            f"{count} idle connections of four streams, one instance",
            f"< {_TICK_SECONDS} s, < 0.15 s of CPU a poll",
            f"{found['seconds']:.0f} s, {cpu:.3f} s; {found['peak'] / 1e6:.0f} MB",
            found["seconds"] < _TICK_SECONDS and cpu < 0.15,
        )
    ]


def _backlog(world: World, sizes: Sizes) -> list[Row]:
    """Two instances work one queue off: which of them hands out does not matter."""
    each = sizes.connection_backlog
    count = sizes.backlog_connections
    records = each * count
    rows: list[Row] = []
    for instances in (1, 2):
        world.forget()
        settings = _consoles(world, count, each)
        settings |= {"SentinelOneStreams": "activities"}
        world.work("hand_out", settings)
        with ThreadPoolExecutor(instances) as pool:
            workers = [
                pool.submit(world.work, "poll_connections", settings, rounds=0)
                for _ in range(instances)
            ]
            found: list[dict[str, Any]] = [worker.result() for worker in workers]
        totals = world.received(ACTIVITIES)
        # The ids of two consoles are the same: compare the records alone.
        if totals.get("records") != records:
            raise BenchmarkInvalid(f"{totals.get('records')} of {records} records arrived")
        seconds = max(one["seconds"] for one in found)
        cpu = sum(one["cpu"] for one in found)
        rows.append(
            Row(
                "11",
                f"backlog of {records:,} records over {count} connections, "
                f"{instances} worker{'s' if instances > 1 else ''}",
                "",
                f"{records / seconds:,.0f} records/s; {cpu / seconds:.2f} cores of the workers",
                None,
            )
        )
    return rows


def _crowded(world: World, sizes: Sizes, at_a_time: int, instance_mb: int) -> Row:
    """Polls at a time of consoles with a backlog, whose checkpoints know many records."""
    world.forget()
    settings = _consoles(world, at_a_time, sizes.known_backlog)
    settings |= {"SentinelOneStreams": "activities"}
    world.work("many.remember", settings, fingerprints=sizes.known)
    found = world.work("many.crowded", settings, at_a_time=at_a_time)
    records = world.received(ACTIVITIES).get("records")
    if records != at_a_time * sizes.known_backlog:
        raise BenchmarkInvalid(f"{records} records arrived")
    limit = _WORKER_SHARE * instance_mb
    return Row(
        "11",
        f"{at_a_time} polls at a time, each with a backlog of {sizes.known_backlog:,} and "
        f"{sizes.known:,} fingerprints, on an instance of {instance_mb:,} MB",
        f"worker < {limit:,.0f} MB",
        f"{found['peak'] / 1e6:,.0f} MB; {records / found['seconds']:,.0f} records/s",
        found["peak"] / 1e6 < limit,
    )


def _posts_beside(world: World, sizes: Sizes) -> list[Row]:
    """Posts to the webhook alone, and beside polls in the same process."""
    rows = []
    for what, count, records in (
        ("nothing new", sizes.connections, 0),
        ("a backlog", 8, sizes.beside_backlog),
    ):
        world.forget()
        settings = _consoles(world, count, records) | {
            "SentinelOneStreams": "activities",
            "OneLoginBearerToken": "made-up-bearer-token",
        }
        found = world.work("webhook.beside_polls", settings, posts=sizes.beside_posts)
        check(world, ONELOGIN, found["sent"])
        if found["polls"] != count:
            raise BenchmarkInvalid(f"{found['polls']} of {count} connections were polled")
        alone, beside = (percentile(found[which], 99) for which in ("alone", "beside"))
        rows.append(
            Row(
                "11",
                f"p99 of a 10-event post beside four polls at a time with {what}, in one process",
                "<= 1.5 times",
                f"{beside / alone:.2f} times ({beside * 1000:.0f} and {alone * 1000:.0f} ms; "
                f"median {_median(found['beside']):.0f} and {_median(found['alone']):.0f} ms)",
                beside <= 1.5 * alone,
            )
        )
    return rows


def _median(times: Sequence[float]) -> float:
    return percentile(times, 50) * 1000
