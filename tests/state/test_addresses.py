"""One address has one checkpoint, however it is spelled; another address leaves its own behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import shared.azure.storage
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.state.checkpoint import (
    PER_ROW,
    TABLE,
    StreamCheckpoint,
    partition_key,
)
from shared.state.fingerprints import fingerprint
from shared.state.progress import Progress
from tests.app import App

STREAM = "Custom-SentinelOneActivities"
MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.sentinelone.net",
        "https://ACME.SentinelOne.Net/",
        "https://acme.sentinelone.net:443",
        "https://Acme.sentinelone.net:443/",
    ],
)
def test_spellings_of_an_address_have_one_key(address: str) -> None:
    """Addresses are compared as hosts are."""
    assert partition_key("SentinelOne", address) == "SentinelOne:acme.sentinelone.net"


def test_other_addresses_have_other_keys() -> None:
    """Another port is another server, and a path keeps its case."""
    assert partition_key("Jira", "https://acme.example:8443") == "Jira:acme.example:8443"
    key = partition_key("Jira", "https://API.acme.example:443/ex/jira/A1", "emea")
    assert key == "Jira__emea:api.acme.example|ex|jira|A1"


def checkpoint(partition: str, stream: str = STREAM) -> StreamCheckpoint:
    table = shared.azure.storage.table(TABLE)
    return StreamCheckpoint(table, partition, stream, "run")


def keys() -> set[str]:
    return {row["PartitionKey"] for row in shared.azure.storage.table(TABLE).list_entities()}


def test_rows_of_an_earlier_version_are_found_again(storage: str) -> None:
    """What was stored under another spelling moves with all of its fingerprints."""
    seen = [fingerprint(str(number).encode(), MOMENT) for number in range(PER_ROW + 10)]
    old = checkpoint("SentinelOne:ACME.sentinelone.net:443")
    old.load()
    old.rewrite(Progress(watermark=MOMENT), seen)
    other = checkpoint("SentinelOne:ACME.sentinelone.net:443", "Custom-SentinelOneThreats")
    other.load()
    other.rewrite(Progress(watermark=MOMENT), [])

    now = checkpoint("SentinelOne:acme.sentinelone.net")
    found = now.load()
    assert now.progress.watermark == MOMENT
    assert len(found) == len(seen)
    assert now.advance(Progress(watermark=MOMENT + timedelta(hours=1)), [])
    rows = list(shared.azure.storage.table(TABLE).list_entities())
    assert {row["RowKey"] for row in rows if "ACME" in row["PartitionKey"]} == {
        "Custom-SentinelOneThreats"
    }
    again = checkpoint("SentinelOne:acme.sentinelone.net")
    assert len(again.load()) == len(seen)


def test_the_spelling_that_has_come_furthest_is_carried_over(storage: str) -> None:
    """Of two spellings that each have a checkpoint, the later watermark wins."""
    for hours, spelling in ((2, "Acme.example"), (1, "ACME.example"), (0, "acme.example:443")):
        each = checkpoint(f"SentinelOne:{spelling}")
        each._table.create_table() if hours == 2 else None
        each.rewrite(Progress(watermark=MOMENT - timedelta(hours=hours)), [])
    now = checkpoint("SentinelOne:acme.example")
    now.load()
    assert now.progress.watermark == MOMENT
    assert keys() == {"SentinelOne:acme.example"}


def test_another_tenants_checkpoint_is_no_spelling(storage: str) -> None:
    """A watermark is never inherited from another address or connection."""
    for partition in ("SentinelOne:other.example", "SentinelOne__emea:ACME.example"):
        other = checkpoint(partition)
        other.load()
        other.rewrite(Progress(watermark=MOMENT), [])
    now = checkpoint("SentinelOne:acme.example")
    now.load()
    assert now.progress.watermark is None


def test_a_changed_address_names_what_it_left_behind(app: App) -> None:
    """The page says where the new address begins, and how far the old one had come."""
    old = checkpoint("Jira:old.example")
    old.load()
    old.rewrite(Progress(watermark=MOMENT), [])

    def note() -> str:
        (jira,) = [each for each in app.status()["connectors"] if each["name"] == "Jira"]
        return str(jira["address_note"])

    said = note()
    assert f"left behind: old.example (delivered to {isoformat(MOMENT)})" in said
    begins = parse_time(said.partition("now ")[2].partition(";")[0])
    assert begins is not None
    assert abs(utc_now() - timedelta(hours=24) - begins) < timedelta(minutes=5)
    app.poll_jira()
    assert "began 24 h before its first run;" in note()
