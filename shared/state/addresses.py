"""Checkpoints and addresses: one address has one key, however it is spelled.

Rows that an earlier version stored under another spelling of the host are carried over; rows of
another address are left behind, and told.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.azure.storage import storage_errors
from shared.records.timestamps import parse_time

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_DEFAULT_PORT = re.compile(r":443(?=$|\|)")


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The checkpoints of an address that is polled no more; ``delivered_to`` of its furthest."""

    address: str
    delivered_to: datetime | None


def key_of_address(address: str) -> str:
    """Return host and path as part of a PartitionKey: slashes become ``|``.

    Hosts are compared as hosts are: lower case, no default port, no trailing slash.
    """
    host_and_path = address.split("://", 1)[-1].strip("/")
    for forbidden in "/\\#?":
        host_and_path = host_and_path.replace(forbidden, "|")
    host, bar, path = host_and_path.partition("|")
    return _DEFAULT_PORT.sub("", host.lower()) + bar + path


def carry_over(table: TableClient, partition: str, stream: str) -> bool:
    """Move a stream's rows to ``partition`` from another spelling of its address, if there are any.

    Write further rows before the one that refers to them, and delete the old ones last: a kill in
    between leaves rows that are carried over again, or not needed. Of several spellings take the
    one that has come furthest. Raises ``StorageUnavailable``.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    with storage_errors(f"Looking for an older checkpoint of {stream}"):
        try:
            found = [
                row
                for row in _rows(table, partition.partition(":")[0], f"RowKey eq '{stream}'")
                if _canonical(row["PartitionKey"]) == partition != row["PartitionKey"]
            ]
        except ResourceNotFoundError:
            return False
        if not found:
            return False
        furthest = max(found, key=lambda row: str(row.get("watermark") or ""))
        for further in _further_rows(table, furthest["PartitionKey"], stream):
            table.upsert_entity({**further, "PartitionKey": partition})
        with contextlib.suppress(ResourceExistsError):  # another host was quicker
            table.create_entity({**furthest, "PartitionKey": partition})
        for row in found:
            table.delete_entity(row["PartitionKey"], stream)
            for further in _further_rows(table, row["PartitionKey"], stream):
                table.delete_entity(row["PartitionKey"], further["RowKey"])
    return True


def rows_of_stream(table: TableClient, partition: str, stream: str) -> list[tuple[str, str]]:
    """Return PartitionKey and RowKey of the stream's rows under every spelling of its address.

    Its first row's RowKey is the stream; those of further rows begin with ``<stream>~``.
    """
    also = f"RowKey ge '{stream}' and RowKey lt '{stream}~~'"
    found = _rows(table, partition.partition(":")[0], also, ["PartitionKey", "RowKey"])
    return [
        (row["PartitionKey"], row["RowKey"])
        for row in found
        if _canonical(row["PartitionKey"]) == partition
        and row["RowKey"].partition("~")[0] == stream
    ]


def left_behind(partitions: Mapping[str, Mapping[str, Any]], partition: str) -> list[LeftBehind]:
    """Return the other addresses that the connection of ``partition`` has checkpoints of.

    ``partitions`` has the table's rows by PartitionKey and RowKey.
    """
    key = partition.partition(":")[0]
    furthest: dict[str, datetime | None] = {}
    for stored, rows in partitions.items():
        other = _canonical(stored)
        if stored.partition(":")[0] != key or other in (partition, f"{key}:webhook"):
            continue
        marks = [parse_time(row.get(n)) for row in rows.values() for n in ("watermark", "position")]
        known = [mark for mark in (*marks, furthest.get(other)) if mark]
        furthest[other] = max(known, default=None)
    return [
        LeftBehind(other.partition(":")[2].replace("|", "/"), mark)
        for other, mark in sorted(furthest.items())
    ]


def _canonical(partition: str) -> str:
    key, _, address = partition.partition(":")
    return f"{key}:{key_of_address(address)}"


def _rows(
    table: TableClient, key: str, also: str = "", select: list[str] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of every address of a connection; ``;`` is the character after ``:``."""
    within = f"PartitionKey ge '{key}:' and PartitionKey lt '{key};'"
    return iter(table.query_entities(f"{within} and {also}" if also else within, select=select))


def _further_rows(table: TableClient, partition: str, stream: str) -> list[Mapping[str, Any]]:
    """Return a stream's rows of fingerprints beyond its first row."""
    return list(
        table.query_entities(
            "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end",
            parameters={"partition": partition, "first": f"{stream}~", "end": f"{stream}~~"},
        )
    )
