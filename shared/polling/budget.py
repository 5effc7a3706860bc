"""The time budget of a run."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from shared.errors import SettingsError

BUDGET_SHARE = 0.8
# Of a function that may run without end, which a Flex Consumption plan allows.
_UNLIMITED = "-1"
_UNLIMITED_SECONDS = 1800.0

# How an app setting overrides host.json.
_TIMEOUT_SETTING = "AzureFunctionsJobHost__functionTimeout"


def budget_seconds() -> float:
    """80 % of functionTimeout, which the host takes from an app setting, else from host.json.

    Where that is -1 (no end), 80 % of 30 minutes. Raises SettingsError where it is neither -1 nor
    hh:mm:ss.
    https://learn.microsoft.com/azure/azure-functions/functions-host-json#functiontimeout
    """
    text = os.environ.get(_TIMEOUT_SETTING, "")
    if not text:
        host = Path(__file__).parents[2] / "host.json"
        text = str(orjson.loads(host.read_bytes()).get("functionTimeout", "00:05:00"))
    if text == _UNLIMITED:
        return BUDGET_SHARE * _UNLIMITED_SECONDS
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingsError(
            [f"functionTimeout in host.json is {text!r}: write it as hh:mm:ss, or -1"]
        ) from None
    return BUDGET_SHARE * (hours * 3600 + minutes * 60 + seconds)
