"""Send each run's result as a row of ``ConnectorHealth_CL``.

SentinelHealth does not cover function apps, so the connectors report on themselves: a small upload
per run, within seconds; its failure never fails the run. Do not retry a refused row: the next run
sends a newer one, and the status page reads the storage account instead.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared import VERSION
from shared.delivery.batch import packed
from shared.delivery.sink import sink_for
from shared.delivery.spool import Spool
from shared.errors import ConnectorError, SettingsError, StorageError
from shared.records.declared import CONNECTION, declared_fields
from shared.records.encoder import encode
from shared.records.timestamps import utc_now
from shared.runtime.timeout import call_with_timeout
from shared.settings.app import read_destination
from shared.telemetry.events import emit
from shared.telemetry.run import COUNTS, RunResult, RunState, worst

STREAM = "Custom-ConnectorHealth"
RULE = "ConnectorHealthRuleId"
# The stream of a named connection's one row for a run.
ALL_STREAMS = "all"
_SECONDS = 10.0

logger = logging.getLogger("connectors.health")


@dataclass(frozen=True, slots=True)
class Extras:
    """Columns of a row beside its run's; None where unknown or for another row to report."""

    spool_depth: int | None = None
    poison_messages: int | None = None
    token_expires: datetime | None = None


def row(run: RunResult, extras: Extras) -> dict[str, Any]:
    """A run's row, with the columns of sentinel/tables/ConnectorHealth_CL.yaml.

    Only a named connection's has ``Connection``.
    """
    days = None
    if extras.token_expires:
        days = round((extras.token_expires - run.started).total_seconds() / 86_400, 2)
    whose = {} if run.connection else {CONNECTION}
    return {
        **{name: value for name, value in run.dimensions().items() if name not in whose},
        "SpoolDepth": extras.spool_depth,
        "PoisonMessages": extras.poison_messages,
        "TokenExpiresInDays": days,
        "Version": VERSION,
    }


def post(
    connector: str,
    runs: Sequence[RunResult],
    extras: Extras | None = None,
    *,
    connection: str = "",
) -> bool:
    """Send a row for each run; return False, after logging why, where they were not accepted.

    Of a named connection, send one row for all runs and one for each that failed, to where its
    records go.

    Send nothing and return True where there is no run, no rule for the rows, or only the Data
    Collector API, which has no table for them. Raises no ConnectorError.
    """
    try:
        settings = read_destination(connection)
        if not runs or RULE not in settings.rule_ids:
            return True
        known = extras or Extras()
        declared = declared_fields(STREAM)
        encoded = [
            encode(row(run, known), time_generated=run.started, declared=declared)
            for run in (summed(runs) if connection else runs)
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
            Connection=connection,
            ErrorClass=type(error).__name__,
            Message=str(error) or f"Azure Monitor did not answer within {_SECONDS:.0f} s",
        )
        return False
    return True


def post_misconfigured(connector: str, connection: str, error: SettingsError) -> None:
    """Send a row for a named connection whose settings are wrong; raises no ConnectorError."""
    run = RunResult(
        connector,
        ALL_STREAMS,
        uuid.uuid4().hex,
        utc_now(),
        status=RunState.FAILING,
        error=error,
        connection=connection,
    )
    run.log()
    post(connector, [run], connection=connection)


def summed(runs: Sequence[RunResult]) -> Sequence[RunResult]:
    """One run for all streams of a named connection, then each that failed.

    The sum has every stream's counts, the worst status, and the watermark that is furthest behind;
    its stream is ``all``. The message of a failure stands in its own row; that of a wait for the
    vendor's limit of calls in this one.
    """
    marks = [run.watermark for run in runs if run.watermark]
    total = replace(
        runs[0],
        stream=ALL_STREAMS,
        status=worst(run.status for run in runs),
        watermark=min(marks, default=None),
        duration=sum(run.duration for run in runs),
        error=None,
        note=_note(runs),
        **{name: sum(getattr(run, name) for run in runs) for name in COUNTS},
    )
    if [run.stream for run in runs] == [ALL_STREAMS]:
        return runs
    return [total, *(run for run in runs if run.status == RunState.FAILING)]


def _note(runs: Sequence[RunResult]) -> str:
    """The note of the only run; of several, what those wait for that the vendor throttles."""
    if len(runs) == 1:
        return runs[0].note
    return "; ".join(dict.fromkeys(run.note for run in runs if run.waits_until))


def queue_numbers() -> Extras:
    """Count the messages of the spool and of the poison queue; None where storage fails."""
    try:
        spool = Spool()
        return Extras(spool_depth=spool.depth(), poison_messages=spool.poisoned())
    except (StorageError, SettingsError) as error:
        logger.debug("The queues could not be counted: %s", error)
        return Extras()
