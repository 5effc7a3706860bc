"""The name of a connection's state: its lease's blob, and the beginning of its PartitionKeys."""

from __future__ import annotations


def connection_key(connector: str, connection: str) -> str:
    """``<connector>__<connection>``; the connector alone for the connection without a name."""
    return f"{connector}__{connection}" if connection else connector
