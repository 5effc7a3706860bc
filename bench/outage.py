"""Point 10: an outage's end, and what an instance asks while the outage lasts."""

from __future__ import annotations

from collections import Counter

from bench.measures import ONELOGIN, BenchmarkInvalid, Row, Sizes, check
from bench.world import World
from local.azure.azurite import Azurite

# The emulator searches its whole queue at each request, and stops for a minute to clean up after
# every minute with thousands of messages: use a new one for each part.
_PART = 1_000


def _in_parts(world: World, task: str, posts: int) -> Counter[str]:
    """Run ``task`` for so many posts, each part on a new emulator; sum the results."""
    total: Counter[str] = Counter()
    for start in range(0, posts, _PART):
        with Azurite() as emulator:
            settings = {"AzureWebJobsStorage": emulator.connection_string}
            total.update(world.work(task, settings, posts=min(_PART, posts - start), seed=start))
    return total


def spooled(world: World, sizes: Sizes) -> list[Row]:
    """Work off spooled posts of ten events, in one process that takes four messages at a time."""
    world.forget()
    found = _in_parts(world, "spool.drained", sizes.spooled_posts)
    received = check(world, ONELOGIN, int(found["sent"]))
    down = _in_parts(world, "spool.during_outage", sizes.spooled_posts)
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
