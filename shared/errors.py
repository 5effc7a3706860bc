"""The error tree, split by what can be done about each error; an error boundary; the advice.

ConnectorError
├── SettingsError              an app setting is missing or malformed: change it
│   └── UnknownConnection      records of a connection that is no longer set up: they wait
├── VendorError
│   ├── VendorUnavailable      429, 5xx, resets, timeouts: the next run continues here
│   ├── VendorRefused          400, 401, 403, 404: names the setting or permission to check
│   ├── VendorAnswerInvalid    the body does not match the vendor's documentation
│   └── PostRefused            a webhook's body cannot be read, or is too large
├── DestinationError
│   ├── DestinationUnavailable 408, 429, 5xx, resets: retried, then left for the next run
│   ├── DestinationRefused     401, 403, 404: sign-in, role or rule; no dead letter
│   ├── BatchTooLarge          413: the batch is halved
│   ├── BatchRefused           400: the batch is halved down to the refused records
│   └── RuleRefusesRecords     too many refused records: the rule must be wrong
├── StorageError
│   ├── StorageUnavailable     tables, queues or blobs did not answer
│   ├── CheckpointConflict     another run moved the checkpoint: this one stops
│   ├── LeaseLost              another run may hold the connection: this one ends, without an alert
│   └── CheckpointUnreadable   an entity of a newer format, or edited by hand
├── NoProgress                 two runs ended at the same place of a stream, without an end
├── UnexpectedError            a bug: named by its exception class and its place
└── RunFailed                  one or more streams of a run failed: names each cause

A message names the event, the setting, stream or record, and the next step; it never quotes a
secret, a record's contents or a person's name.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class ConnectorError(Exception):
    """The root of the tree: every error that this project raises on purpose."""


class SettingsError(ConnectorError):
    """App settings are missing, malformed or contradict each other.

    ``problems`` has one sentence per setting, each beginning with the setting's name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class UnknownConnection(SettingsError):
    """Records belong to a connection that the app's settings do not name; they wait for it."""

    def __init__(self, connection: str) -> None:
        self.connection = connection
        super().__init__(
            [
                f"Records of the connection {connection} wait, since it is not set up any more: "
                f"set its settings (…__{connection}) again, and they are sent"
            ]
        )


class VendorError(ConnectorError):
    """A request to a vendor's API failed."""


class VendorUnavailable(VendorError):
    """The vendor did not answer in time; a later retry may succeed.

    ``status`` is the last HTTP status, None without any answer; ``retry_after`` the seconds that
    the vendor asks to wait, None where it does not say.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class VendorRefused(VendorError):
    """The vendor refused the request; a retry fails until a setting or permission changes."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class VendorAnswerInvalid(VendorError):
    """The vendor answered with a redirect, or with a body that its API does not document."""


class PostRefused(VendorError):
    """A webhook's body cannot be read, or is too large: the sender got 400 or 413."""


class DestinationError(ConnectorError):
    """Azure Monitor did not take a batch, or only a part of it.

    ``settled`` has the indices, within the batch delivered, of the records that have arrived.
    """

    settled: Sequence[int] = ()


class DestinationUnavailable(DestinationError):
    """Azure Monitor cannot take the batch now.

    ``retry_after`` is its Retry-After in seconds, ``status`` its HTTP status; None if unknown.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class DestinationRefused(DestinationError):
    """Sign-in, a role, the rule or the stream is wrong; the records stay where they are."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class BatchTooLarge(DestinationError):
    """HTTP 413: the call is over Azure Monitor's size limit."""


class BatchRefused(DestinationError):
    """HTTP 400: at least one record is refused; ``reason`` is Azure Monitor's own text."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"Azure Monitor refused a batch with HTTP {status}")


class RuleRefusesRecords(DestinationError):
    """Too many records are refused: the rule's declaration of the stream must be wrong.

    ``accepted`` has the indices, within the batch delivered, of the records that were taken.
    """

    def __init__(self, message: str, *, accepted: Sequence[int], refused: int) -> None:
        self.accepted = tuple(accepted)
        self.refused = refused
        super().__init__(message)


class StorageError(ConnectorError):
    """A request to the app's storage account failed.

    ``settled`` has the indices of the records that have arrived in Azure Monitor, although a dead
    letter of their batch could not be written.
    """

    settled: Sequence[int] = ()


class StorageUnavailable(StorageError):
    """Tables, queues or blobs did not answer, or refused the app's identity."""


class CheckpointConflict(StorageError):
    """Another run has written the checkpoint since this one read it."""


class LeaseLost(StorageError):
    """The connection's lease is no longer sure: end the run, and leave the rest to the next one."""


class CheckpointUnreadable(StorageError):
    """The stored checkpoint cannot be read; the message says how to reset the stream."""


class NoProgress(ConnectorError):
    """Runs of a stream end without having come further; the message says where they stand."""


class UnexpectedError(ConnectorError):
    """A bug; leave its text out of the message, since it could quote a record or a secret."""

    def __init__(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        super().__init__(
            f"{type(error).__name__}{place}: a fault of the program; nothing is lost, and it is "
            "tried again. Report it with these words"
        )


@contextmanager
def error_boundary() -> Iterator[None]:
    """Re-raise ConnectorError; wrap anything else in UnexpectedError, whose message has no data."""
    try:
        yield
    except ConnectorError:
        raise
    except Exception as error:  # noqa: BLE001  (the outermost boundary of a stream or a request)
        raise UnexpectedError(error) from None


class RunFailed(ConnectorError):
    """At least one stream of a run failed; the others were delivered.

    ``failures`` maps each failed stream's name to its error.
    """

    def __init__(self, connector: str, failures: Mapping[str, Exception]) -> None:
        self.connector = connector
        self.failures = dict(failures)
        causes = "; ".join(f"{stream}: {error}" for stream, error in self.failures.items())
        super().__init__(f"{connector}: {len(self.failures)} stream(s) failed. {causes}")


# The next step for each error class, shown by the status page and the connection test.
ADVICE: Mapping[str, str] = {
    "VendorUnavailable": (
        "Nothing is lost, and each run tries again. If it lasts for an hour, look at the vendor's "
        "own status page and whether a network rule stands in the way."
    ),
    "VendorRefused": (
        "Change what the message names (a token, a permission or an address), then test the "
        "connection below; the next run goes on where this one stopped."
    ),
    "VendorAnswerInvalid": (
        "See that the address in the settings is the vendor's own and that no proxy or sign-in "
        "page answers in its place. If it is, report it with this message."
    ),
    "PostRefused": (
        "See that only the vendor posts to the webhook's address, as a JSON array or NDJSON; the "
        "blob in dead-letters has the body. A good post ends this."
    ),
    "DestinationUnavailable": (
        "Nothing is lost, and each run tries again. If it lasts for an hour, look at Azure Service "
        "Health for Azure Monitor, and at network rules around the data collection endpoint."
    ),
    "DestinationRefused": (
        "Change what the message names (an identity, a role, a rule's id), then test the "
        "destination below. A new role may take 30 minutes to work."
    ),
    "RuleRefusesRecords": (
        "The data collection rule does not fit this version: deploy this version's template again. "
        "Nothing was dropped, and the next run goes on."
    ),
    "SettingsError": (
        "Set what the message names in the function app's environment variables; on your own "
        "machine, in local.settings.json."
    ),
    "UnknownConnection": (
        "Give the connection its settings again until nothing waits for it any more; records of "
        "other connections are not affected. Its dead letters can also be discarded."
    ),
    "StorageUnavailable": (
        "See that the function app's own storage account is there, that its network rules let the "
        "app in, and that the app's identity has its three data roles."
    ),
    "CheckpointConflict": (
        "Once is harmless. If it goes on, a second function app reads the same tenant with the "
        "same storage account: stop one of them."
    ),
    "NoProgress": (
        "Nothing is lost, and each run tries again. Give runs more time (functionTimeout) or more "
        "requests a second, and see whether the vendor answers slower than it used to. If it "
        "stays, report it with this message."
    ),
    "CheckpointUnreadable": "Do as the message says: it names the rows to delete.",
}
# For a class that is not in ``ADVICE``.
OTHER_ADVICE = "Look for this error in Application Insights, and report it with its message."
