"""A sink that uploads only while the connection's lease is sure."""

from __future__ import annotations

from shared.delivery.batch import Batch
from shared.delivery.sink import Sink
from shared.state.lease import PollLease

# An upload may wait so long for its connection, before its timeout for the answer begins.
_CONNECT_SECONDS = 10.0


class LeasedSink:
    """``sink``, under ``lease``: each upload, a retry too, ends before the lease can lapse.

    Closing it closes nothing: ``sink`` outlives the run.
    """

    def __init__(self, sink: Sink, lease: PollLease) -> None:
        self._sink = sink
        self._lease = lease
        self.name = sink.name

    def declared(self, stream: str) -> frozenset[str] | None:
        """See ``Sink.declared``."""
        return self._sink.declared(stream)

    def upload(self, batch: Batch, timeout: float) -> int:
        """See ``Sink.upload``. Raises LeaseLost where the lease is not sure for long enough."""
        left = self._lease.seconds_for_upload() - _CONNECT_SECONDS
        return self._sink.upload(batch, min(timeout, left))

    def renew_sign_in(self) -> None:
        """See ``Sink.renew_sign_in``."""
        self._sink.renew_sign_in()

    def close(self) -> None:
        """See the class."""
