"""Point 11: many connections, polled by ConnectionPoll as the host calls it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.measures import ACTIVITIES, BenchmarkInvalid, Row, Sizes
from bench.world import World

_TICK_SECONDS = 300
_STREAMS = "alerts,threats,activities,devicecontrol"
_BACKLOG_CONNECTIONS = 40


def many(world: World, sizes: Sizes) -> list[Row]:
    """Idle consoles on one instance, and a backlog over many on one and on two."""
    return [*_idle(world, sizes), *_backlog(world, sizes)]


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
    records = each * _BACKLOG_CONNECTIONS
    rows: list[Row] = []
    for instances in (1, 2):
        world.forget()
        settings = _consoles(world, _BACKLOG_CONNECTIONS, each)
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
                f"backlog of {records:,} records over {_BACKLOG_CONNECTIONS} connections, "
                f"{instances} worker{'s' if instances > 1 else ''}",
                "",
                f"{records / seconds:,.0f} records/s; {cpu / seconds:.2f} cores of the workers",
                None,
            )
        )
    return rows
