"""The webhook at 32 posts at a time, also with Azure Monitor down."""

from __future__ import annotations

from typing import Any

from bench.measures import EVENTS_A_POST, ONELOGIN, Row, Sizes, check, percentile
from bench.world import World


def under_load(world: World, sizes: Sizes) -> list[Row]:
    """Point 9: events a second and p99, beside a pass-through, and into the spool."""
    settings = {"OneLoginBearerToken": "made-up-bearer-token"}
    world.forget()
    found = world.work("webhook.loaded", settings, posts=sizes.loaded_posts)
    check(world, ONELOGIN, found["sent"])
    rows = [
        Row(
            "9",
            "32 posts of ten events at a time, beside a pass-through that only uploads",
            "p99 <= 1.5 times",
            f"{_rate(found['ours'], sizes):,.0f} and {_rate(found['bare'], sizes):,.0f} events/s, "
            f"p99 {_p99(found['ours']) * 1000:.0f} and {_p99(found['bare']) * 1000:.0f} ms",
            _p99(found["ours"]) <= 1.5 * _p99(found["bare"]),
        )
    ]
    spooled = world.work("webhook.outage", settings, posts=sizes.loaded_posts)
    rows.append(
        Row(
            "9",
            "the same with Azure Monitor down: into the spool",
            "",
            f"{_rate(spooled, sizes):,.0f} events/s, p99 {_p99(spooled) * 1000:.0f} ms",
            None,
        )
    )
    return rows


def _rate(found: dict[str, Any], sizes: Sizes) -> float:
    return sizes.loaded_posts * EVENTS_A_POST / float(found["seconds"])


def _p99(found: dict[str, Any]) -> float:
    return percentile(found["times"], 99)
