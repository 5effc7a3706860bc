"""Collect status from every store in parallel.

A store that fails yields a problem and a default.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import urlsplit

from shared import VERSION
from shared.delivery import backlog
from shared.delivery.backlog import DeadLetterStatus, Queue
from shared.records.timestamps import utc_now
from shared.settings import key_vault
from shared.settings.app import (
    DestinationSettings,
    read_destination,
    read_polling,
)
from shared.state.lease import Leases, read_leases
from shared.state.rows import all_checkpoint_rows
from shared.status.collector import Collector
from shared.status.connections import Stored, connection_statuses
from shared.status.model import (
    AppStatus,
    Assessment,
    ConnectorStatus,
)
from shared.telemetry.humanize import many, span
from shared.telemetry.run import SEVERITY, RunState, worst

_EXPIRES_SOON_DAYS = 14


def collect_status(
    now: datetime | None = None, connection: str = "", *, ask_vendors: bool = True
) -> AppStatus:
    """Collect the app's status as of ``now``; each read of a store has a timeout.

    Asking vendors for their tokens' ends comes on top, with a timeout for all together.

    ``connection`` chooses connections whose connector, name or address has the text; '' all.
    """
    moment = now or utc_now()
    collector = Collector()
    with ThreadPoolExecutor(8) as pool:
        spool_read = pool.submit(collector.get, backlog.spool_queue, Queue(None))
        poison_read = pool.submit(collector.get, backlog.poison_queue, Queue(None))
        dead_read = pool.submit(collector.get, backlog.dead_letters, DeadLetterStatus(None))
        settings_read = pool.submit(collector.get, read_destination, None)
        polling_read = pool.submit(collector.get, read_polling, None)
        rows_read = pool.submit(collector.get, all_checkpoint_rows, None)
        no_leases = Leases(moment, {}, frozenset(), {})
        leases_read = pool.submit(collector.get, read_leases, no_leases)
        spool = spool_read.result()
        leases = leases_read.result()
        stored = Stored(rows_read.result(), leases.polls, leases.paused, spool)
        connectors = connection_statuses(
            stored, collector, moment, connection, ask_vendors=ask_vendors
        )
        polling_read.result()
        poison, dead = poison_read.result(), dead_read.result()
        destination, address = _destination(settings_read.result())
    own_problems = [
        *collector.problems.values(),
        *_vault_problems(),
        *_backlog_problems(dead, poison),
    ]
    problems = sorted(
        [*own_problems, *_token_problems(connectors, moment)],
        key=lambda assessment: SEVERITY.index(assessment.state),
    )
    states = [c.assessment.state for c in connectors if c.on] + [p.state for p in problems]
    return AppStatus(
        state=worst(states) if any(c.on for c in connectors) or problems else RunState.OFF,
        at=moment,
        version=VERSION,
        destination=destination,
        destination_address=address,
        problems=problems,
        connectors=connectors,
        shown=connection,
        spool=spool,
        poison=poison,
        dead_letters=dead,
    )


def _destination(settings: DestinationSettings | None) -> tuple[str, str]:
    """Return the name of the sink and its host."""
    if settings is None:
        return "not set up", ""
    name = "Logs Ingestion API" if settings.endpoint else "Data Collector API"
    return name, urlsplit(settings.endpoint or settings.data_collector_uri).netloc


def _vault_problems() -> list[Assessment]:
    """Return a problem where secrets could not be read: one cause has one sentence."""
    doubts = key_vault.doubts()
    if not doubts:
        return []
    more = f" (and {len(doubts) - 1} more)" if len(doubts) > 1 else ""
    return [
        Assessment(
            RunState.LATE,
            f"{doubts[0]}{more}",
            "What is known stays in use for a day. Do as the message says before it ends.",
        )
    ]


def _backlog_problems(dead: DeadLetterStatus, poison: Queue) -> list[Assessment]:
    """Return a problem for dead letters and one for poison messages, where there are any."""
    found: list[Assessment] = []
    if dead.unacknowledged:
        found.append(
            Assessment(
                RunState.LATE,
                f"{'At least ' if dead.more else ''}{many(dead.unacknowledged, 'record')} "
                "could not be delivered, set aside as dead letters.",
                "Look at their causes below, mend what they name, and send them again; or "
                "acknowledge or discard what can never be sent, and this ends.",
            )
        )
    if poison.messages:
        found.append(
            Assessment(
                RunState.LATE,
                f"{many(poison.messages, 'message')} of the spool, given up after twenty "
                "tries, set aside in the poison queue.",
                "Once the storage account and the app are well, send them again below.",
            )
        )
    return found


def _token_problems(connectors: list[ConnectorStatus], now: datetime) -> list[Assessment]:
    found: list[Assessment] = []
    for connector in connectors:
        if connector.token_expires is None:
            continue
        left = (connector.token_expires - now).total_seconds()
        if left < _EXPIRES_SOON_DAYS * 86_400:
            when = f"expires in {span(left)}" if left > 0 else "has expired"
            found.append(
                Assessment(
                    RunState.LATE if left > 0 else RunState.FAILING,
                    f"The token of {connector.title} {when}.",
                    "Make a new one with the vendor and store it where the old one is; the "
                    "connector reads it by itself.",
                )
            )
    return found
