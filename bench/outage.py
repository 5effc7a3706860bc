"""Point 10: an outage's end, and what an instance asks while the outage lasts."""

from __future__ import annotations

from bench.measures import ONELOGIN, BenchmarkInvalid, Row, Sizes, check
from bench.world import World


def spooled(world: World, sizes: Sizes) -> list[Row]:
    """Work off spooled posts of ten events, in one process that takes four messages at a time."""
    world.forget()
    found = world.work("spool_drained", {}, posts=sizes.spooled_posts)
    received = check(world, ONELOGIN, found["sent"])
    down = world.work("spool_during_outage", {}, posts=sizes.spooled_posts)
    if down["left"] != sizes.spooled_posts:
        raise BenchmarkInvalid(f"{down['left']} of {sizes.spooled_posts} spooled posts are left")
    minutes = max(down["seconds"] / 60, 1.0)
    return [
        Row(
            "10",
            f"an outage's end: {sizes.spooled_posts:,} spooled posts of ten events",
            "",
            f"{found['seconds']:.0f} s ({found['cpu']:.0f} s of processor), "
            f"{received['requests']:,} uploads in {found['invocations']} invocations, "
            f"{found['storage']:,} requests to storage",
            None,
        ),
        Row(
            "10",
            f"during the outage, an instance that handles {sizes.spooled_posts:,} of them",
            "<= 5 uploads a minute",
            f"{down['uploads']} uploads and {down['storage']:,} requests to storage in "
            f"{down['seconds']:.0f} s",
            down["uploads"] / minutes <= 5,
        ),
    ]
