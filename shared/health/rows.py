"""Send each run's result as a row of ``ConnectorHealth_CL``.

SentinelHealth does not cover function apps, so the connectors report on themselves: a small upload
per run, within seconds; its failure never fails the run. Do not retry a refused row: the next run
sends a newer one, and the status page reads the storage account instead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import VERSION
from shared.delivery.batch import packed
from shared.delivery.sink import sink_for
from shared.delivery.spool import Spool
from shared.errors import ConnectorError, SettingsError, StorageError
from shared.records.declared import declared_fields
from shared.records.encoder import encode
from shared.runtime.timeout import call_with_timeout
from shared.settings.app import read_destination
from shared.telemetry.events import emit
from shared.telemetry.run import RunResult

STREAM = "Custom-ConnectorHealth"
RULE = "ConnectorHealthRuleId"
_SECONDS = 10.0

logger = logging.getLogger("connectors.health")


@dataclass(frozen=True, slots=True)
class Extras:
    """Columns of a row beside its run's; None where unknown or for another row to report."""

    spool_depth: int | None = None
    poison_messages: int | None = None
    token_expires: datetime | None = None


def row(run: RunResult, extras: Extras) -> dict[str, Any]:
    """A run's row, with the columns of sentinel/tables/ConnectorHealth_CL.yaml."""
    days = None
    if extras.token_expires:
        days = round((extras.token_expires - run.started).total_seconds() / 86_400, 2)
    return {
        **run.dimensions(),
        "SpoolDepth": extras.spool_depth,
        "PoisonMessages": extras.poison_messages,
        "TokenExpiresInDays": days,
        "Version": VERSION,
    }


def post(connector: str, runs: Sequence[RunResult], extras: Extras | None = None) -> bool:
    """Send a row for each run; return False, after logging why, where they were not accepted.

    Send nothing and return True where there is no run, no rule for the rows, or only the Data
    Collector API, which has no table for them. Raises no ConnectorError.
    """
    try:
        settings = read_destination()
        if not runs or RULE not in settings.rule_ids:
            return True
        known = extras or Extras()
        declared = declared_fields(STREAM)
        encoded = [
            encode(row(run, known), time_generated=run.started, declared=declared) for run in runs
        ]

        def upload() -> None:
            for _, batch in packed(STREAM, encoded):
                sink_for(settings).upload(batch, _SECONDS)

        call_with_timeout(_SECONDS, upload)
    except (ConnectorError, TimeoutError) as error:
        emit(
            logger,
            "health_not_sent",
            Connector=connector,
            ErrorClass=type(error).__name__,
            Message=str(error) or f"Azure Monitor did not answer within {_SECONDS:.0f} s",
        )
        return False
    return True


def queue_numbers() -> Extras:
    """Count the messages of the spool and of the poison queue; None where storage fails."""
    try:
        spool = Spool()
        return Extras(spool_depth=spool.depth(), poison_messages=spool.poisoned())
    except (StorageError, SettingsError) as error:
        logger.debug("The queues could not be counted: %s", error)
        return Extras()
