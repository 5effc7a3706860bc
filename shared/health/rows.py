"""What each run did, as rows of ``ConnectorHealth_CL`` and, for the webhook, its history.

SentinelHealth does not cover function apps, so the connectors report on themselves: one small
upload a run, within seconds, and never at the run's cost. A row that is not taken is not tried
again: the next run sends a newer one, and the status page reads the storage account instead.
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
from shared.telemetry.run import StreamRun

STREAM = "Custom-ConnectorHealth"
RULE = "ConnectorHealthRuleId"
_SECONDS = 10.0

logger = logging.getLogger("connectors.health")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a row tells beside its run; None where it is not known or not this row's to tell."""

    spool_depth: int | None = None
    poison_messages: int | None = None
    token_expires: datetime | None = None


def row(run: StreamRun, extras: Extras) -> dict[str, Any]:
    """The row of one run, by the columns of sentinel/tables/ConnectorHealth_CL.yaml."""
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


def post(connector: str, runs: Sequence[StreamRun], extras: Extras | None = None) -> bool:
    """Send a row for each run; False where they were not taken, which the log says.

    True, with nothing sent, where there is no run, no rule for the rows, or only the Data Collector
    API, for which no table was ever agreed. Raises none of this project's errors.
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
    """How much waits in the spool and in the poison queue; nothing where storage cannot say."""
    try:
        spool = Spool()
        return Extras(spool_depth=spool.depth(), poison_messages=spool.poisoned())
    except (StorageError, SettingsError) as error:
        logger.debug("The queues could not be counted: %s", error)
        return Extras()
