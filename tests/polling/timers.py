"""Runs of the SentinelOne timer, and their results."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from shared.connections.opening import open_connection
from shared.connectors import sentinelone as sentinelone_connector
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.sink import sink_for
from shared.polling.run import poll
from shared.polling.stream_poll import Lookback, StreamPoll
from shared.records.timestamps import isoformat, utc_now
from shared.settings.app import read_destination
from shared.state.checkpoint import TABLE, StreamCheckpoint, partition_key
from shared.telemetry.run import RunCounters, RunResult

ACTIVITIES = "Custom-SentinelOneActivities"


def ago(**how_long: float) -> str:
    return isoformat(utc_now() - timedelta(**how_long))


def activities(numbers: range, **how_long: float) -> list[dict[str, Any]]:
    moment = ago(**how_long)
    return [{"id": str(n), "createdAt": moment, "updatedAt": moment} for n in numbers]


def poll_sentinelone() -> dict[str, RunResult]:
    return {run.stream: run for run in poll(sentinelone_connector.CONNECTOR)}


def arrived(monitor: AzureMonitor, stream: str = ACTIVITIES) -> Counter[str]:
    return Counter(str(record["id"]) for record in monitor.records(stream))


def poll_without_time_left(run_id: str) -> str:
    """One run whose time to fetch is over after its first page."""
    connection = open_connection(sentinelone_connector.CONNECTOR)
    assert connection is not None
    source = next(s for s in connection.sources if s.stream.name == ACTIVITIES)
    key = partition_key("SentinelOne", connection.address)
    checkpoint = StreamCheckpoint(shared.azure.storage.table(TABLE), key, ACTIVITIES, run_id)
    counters = RunCounters("SentinelOne", ACTIVITIES, run_id, utc_now())
    sender = BatchSender(sink_for(read_destination()), DeadLetters())
    lookback = Lookback(timedelta(hours=24), timedelta(minutes=10))
    poll_once = StreamPoll(source, checkpoint, sender, counters, lookback)
    return poll_once.run(checkpoint.load(), time.monotonic(), time.monotonic() + 60)
