"""The seam to Azure Monitor: what delivery needs of a way in, and which one the settings choose."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from shared.runtime.process import on_reset

if TYPE_CHECKING:
    from shared.delivery.batch import Batch
    from shared.settings.app import DestinationSettings


class Sink(Protocol):
    """One way into Azure Monitor; threads share it."""

    name: str

    def declared(self, stream: str) -> frozenset[str] | None:
        """The fields that ``stream`` declares; None where records go out nested as they came."""
        ...

    def upload(self, batch: Batch, timeout: float) -> int:
        """One POST of ``batch``, not retried; returns the bytes of the body as sent.

        ``timeout`` is in seconds, for connecting and for the answer. Raises
        ``DestinationUnavailable``, ``DestinationRefused``, ``BatchTooLarge`` or ``BatchRefused``.
        """
        ...

    def renew_sign_in(self) -> None:
        """After a 401: the next upload signs in anew, past every cached token."""
        ...

    def close(self) -> None:
        """Close its connections; it is not used afterwards."""
        ...


_cached: dict[tuple[object, ...], Sink] = {}
_lock = threading.Lock()


def sink_for(settings: DestinationSettings) -> Sink:
    """The way in that ``settings`` choose: one a process, its connections kept open.

    ``LogsIngestionEndpoint`` wins; without it ``WorkspaceID`` and ``WorkspaceKey`` lead to the
    Data Collector API. The Azure SDKs are imported here, by whoever first delivers.
    """
    key = (settings.endpoint, *sorted(settings.rule_ids.items()), settings.workspace_id)
    with _lock:
        if key not in _cached:
            _cached.clear()
            _cached[key] = _make(settings)
        return _cached[key]


@on_reset
def close_sinks() -> None:
    """Close and drop the cached way in: its settings have changed, and nothing is in flight."""
    with _lock:
        for made in _cached.values():
            made.close()
        _cached.clear()


def _make(settings: DestinationSettings) -> Sink:
    if settings.endpoint:
        from shared.delivery.logs_ingestion import LogsIngestion

        return LogsIngestion(settings.endpoint, settings.rule_ids)
    from shared.delivery.data_collector import DataCollector

    return DataCollector(settings)
