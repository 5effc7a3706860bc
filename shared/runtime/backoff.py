"""Exponential backoff with jitter: the pause before a retry, in seconds."""

from __future__ import annotations

import random

# Beyond this many doublings every cap is reached; a stored count of retries may be any number.
_MAX_DOUBLINGS = 32


def exponential_backoff(retries: int, *, first: float, cap: float) -> float:
    """Return ``first``, doubled for each of the ``retries`` made before, at most ``cap``."""
    return min(first * 2.0 ** min(retries, _MAX_DOUBLINGS), cap)


def jittered(seconds: float) -> float:
    """Shorten a pause at random to between half and all of it, so that retries spread out."""
    return seconds * random.uniform(0.5, 1)  # noqa: S311  (jitter is no secret)
