"""The seam to Azure Monitor: the protocol of a sink, and the sink that the settings select."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from shared.errors import UnknownConnection
from shared.runtime.process import on_reset

if TYPE_CHECKING:
    from shared.delivery.batch import Batch
    from shared.settings.app import DestinationSettings


class Sink(Protocol):
    """A sink: one API of Azure Monitor; thread-safe. ``name`` is for people."""

    name: str

    def declared(self, stream: str) -> frozenset[str] | None:
        """Return the fields that ``stream`` declares; None if the sink takes any field."""
        ...

    def upload(self, batch: Batch, timeout: float) -> int:
        """POST ``batch`` once, without retries; return the bytes of the body as sent.

        ``timeout`` is in seconds, for the connection and for the response. Raises
        ``DestinationUnavailable``, ``DestinationRefused``, ``BatchTooLarge`` or ``BatchRefused``.
        """
        ...

    def renew_sign_in(self) -> None:
        """Drop cached tokens and keys after a 401; the next upload signs in again."""
        ...

    def close(self) -> None:
        """Close the connections; do not use the sink afterwards."""
        ...


_cached: dict[tuple[object, ...], Sink] = {}
_lock = threading.Lock()


def sink_for(settings: DestinationSettings) -> Sink:
    """Return the sink that ``settings`` select, kept open for the process.

    ``LogsIngestionEndpoint`` selects the Logs Ingestion API; without it, ``WorkspaceID`` and
    ``WorkspaceKey`` select the Data Collector API. The first call imports the Azure SDKs.
    """
    key = (settings.endpoint, *sorted(settings.rule_ids.items()), settings.workspace_id)
    with _lock:
        if key not in _cached:
            _cached[key] = _make(settings)
        return _cached[key]


def sink_of(connection: str) -> Sink:
    """Return the sink of a connection's records, by its name ('': the one without a name).

    Raises SettingsError, and UnknownConnection for a connection that is not set up.
    """
    from shared.settings.app import is_set_up, read_destination

    if connection and not is_set_up(connection):
        # Never fall back to the destination of the connection without a name: it is another's.
        raise UnknownConnection(connection)
    return sink_for(read_destination(connection))


@on_reset
def close_sinks() -> None:
    """Close and drop the cached sinks, for settings that have changed; no upload may be running."""
    with _lock:
        for sink in _cached.values():
            sink.close()
        _cached.clear()


def _make(settings: DestinationSettings) -> Sink:
    if settings.endpoint:
        from shared.delivery.logs_ingestion import LogsIngestion

        return LogsIngestion(settings.endpoint, settings.rule_ids, settings.own_names)
    from shared.delivery.data_collector import DataCollector

    return DataCollector(settings)
