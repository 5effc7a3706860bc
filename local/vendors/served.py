"""A vendor that is asked by HTTP: the part of its server that is the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from aiohttp import web

from local.loopback.server import Clock, LocalServer, Request
from local.loopback.service import Service


class ServedVendor(Service):
    """Serves ``routes`` on a free port (or ``port``); ``now`` is the vendor's clock."""

    def __init__(self, routes: Sequence[web.RouteDef], *, now: Clock, port: int) -> None:
        self.server = LocalServer(routes, port=port, now=now)
        self.faults = self.server.faults

    def clock(self) -> datetime:
        """The vendor's clock, which its Date header shows and late records wait for."""
        return self.server.now()

    @property
    def url(self) -> str:
        """The address for the app's settings."""
        return self.server.url

    @property
    def requests(self) -> list[Request]:
        """Every request so far."""
        return self.server.requests

    def start(self) -> Self:
        """Begin to serve."""
        self.server.start()
        return self

    def close(self) -> None:
        """Stop serving."""
        self.server.close()
