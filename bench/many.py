"""Many connections in a worker: checkpoints that know much, and so many polls at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.measures import ACTIVITIES
from bench.vendor import SPREAD
from bench.worker import Result, poll_connections
from shared.azure import storage
from shared.connections.names import set_up
from shared.connections.opening import open_connection
from shared.connectors.sentinelone import CONNECTOR
from shared.polling import pool
from shared.state.checkpoint import TABLE, StreamCheckpoint, partition_key
from shared.state.fingerprints import Fingerprint, fingerprint
from shared.state.progress import Progress


def remember(fingerprints: int) -> Result:
    """Write checkpoints as of a day ago, of so many fingerprints each that a poll keeps."""
    now = datetime.now(UTC)
    mark = now - SPREAD - timedelta(minutes=1)
    known = list(_known(fingerprints, now))
    for name in set_up(CONNECTOR).names:
        _checkpoint(name).rewrite(Progress(watermark=mark), known)
    return {}


def _known(count: int, moment: datetime) -> Iterator[Fingerprint]:
    for number in range(count):
        yield fingerprint(b"%d" % number, moment)


def _checkpoint(name: str) -> StreamCheckpoint:
    connection = open_connection(CONNECTOR, name)
    assert connection is not None
    partition = partition_key(CONNECTOR.name, connection.address, name)
    return StreamCheckpoint(storage.table(TABLE), partition, ACTIVITIES, "0" * 32)


def crowded(at_a_time: int) -> Result:
    """Poll what a tick hands out, so many at a time; with its peak of memory."""
    pool.polls_at_a_time = lambda: at_a_time
    return poll_connections(rounds=1)
