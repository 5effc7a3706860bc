"""Connectors for connections that tests make by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from shared.source.connector import Connector, Portal
from shared.source.stream import Source


@dataclass(frozen=True, slots=True)
class NoSettings:
    """A connector that needs none."""


def connector_of(name: str, source: Source) -> Connector:
    """A connector of one stream, for a connection that a test makes by itself."""
    return Connector(name, NoSettings, (source.stream,), Portal(name, name), {None: "look at it"})
