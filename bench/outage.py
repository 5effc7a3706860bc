"""Point 10: an outage's end, and what an instance asks while the outage lasts."""

from __future__ import annotations

from collections import Counter

from bench.measures import ONELOGIN, BenchmarkInvalid, Row, Sizes, check
from bench.world import World
from local.azure.azurite import Azurite

# The emulator searches its whole queue at each request, and stops for a minute to clean up after
# every minute with thousands of messages: use a new one for each part.
_PART = 1_000


def _in_parts(world: World, task: str, posts: int) -> list[Counter[str]]:
    """Run ``task`` for so many posts, each part in a new process on a new emulator."""
    parts: list[Counter[str]] = []
    for start in range(0, posts, _PART):
        with Azurite() as emulator:
            settings = {"AzureWebJobsStorage": emulator.connection_string}
            part = world.work(task, settings, posts=min(_PART, posts - start), seed=start)
            parts.append(Counter(part))
    return parts


def spooled(world: World, sizes: Sizes) -> list[Row]:
    """Work off spooled posts of ten events, in one process that takes four messages at a time."""
    world.forget()
    found = sum(_in_parts(world, "spool.drained", sizes.spooled_posts), Counter[str]())
    received = check(world, ONELOGIN, int(found["sent"]))
    parts = _in_parts(world, "spool.during_outage", sizes.spooled_posts)
    down = sum(parts, Counter[str]())
    if down["left"] != sizes.spooled_posts:
        raise BenchmarkInvalid(f"{down['left']} of {sizes.spooled_posts} spooled posts are left")
    # Each part is an instance that has just started: its first messages try side by side.
    a_minute = max(part["uploads"] / max(part["seconds"] / 60, 1.0) for part in parts)
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
            f"during the outage, {len(parts)} instances that share {sizes.spooled_posts:,} of them",
            "<= 5 uploads a minute each",
            f"{a_minute:.0f} at most, {down['uploads']} in all; {down['storage']:,} requests to "
            f"storage in {down['seconds']:.0f} s of work",
            a_minute <= 5,
        ),
    ]
