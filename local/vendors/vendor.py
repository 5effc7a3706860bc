"""A vendor as the demo plays it: served, filled with history, driven, kept and reconciled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from local.vendors.record_store import Record
from local.vendors.traffic import Period


@dataclass(frozen=True, slots=True)
class VendorStream:
    """How a stream's records are known: at the vendor by `fields`, in the table by `columns`.

    `query` selects the stream's rows in the workspace. `watermark` is the path of a record's time,
    "" for a snapshot, whose records have none.
    """

    label: str
    stream: str
    query: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    watermark: str = ""


class Account(Protocol):
    """One tenant, site or account at a vendor, for as long as it is served."""

    @property
    def port(self) -> int:
        """The port that it listens on; 0 for an account that serves nothing."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The app settings that lead the app here."""

    def fill(self, period: Period) -> None:
        """Add the period's records; before the first period, the inventory too."""

    def release_late(self) -> int:
        """Show the records that fill() held back, with their own earlier times; return how many."""

    def change(self, now: datetime) -> int:
        """Change some records in place, at ``now``; return how many."""

    def records(self, stream: VendorStream) -> list[Record]:
        """The records of a stream as the vendor shows them now."""

    def save(self) -> Any:
        """All that the account has, as a JSON value."""

    def restore(self, saved: Any) -> None:
        """Restore the state that save() returned."""


@runtime_checkable
class PostingAccount(Account, Protocol):
    """An account that posts its events to a webhook."""

    def pending(self) -> Sequence[Record]:
        """The events that fill() made and that are not posted yet, oldest first."""

    def post(self, url: str, events: Sequence[Record]) -> int:
        """Post the events; return how many the webhook did not take after every try."""


@runtime_checkable
class CountedAccount(PostingAccount, Protocol):
    """An account that posts its events and lists them too, so that a timer can count the posts."""

    def posted(self, hour: datetime) -> int:
        """How many events of the hour that begins then the webhook took."""

    def doomed(self, since: datetime, until: datetime) -> tuple[datetime, Sequence[Record]] | None:
        """An hour between the two, and some of its pending events; None where it has none."""

    def give_up(self, events: Sequence[Record]) -> None:
        """Try no more to post the events."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A module of local/vendors declares one as ``VENDOR``; without the module it is left out.

    `name` is the connector's. `function` is the function that reads the vendor (a timer, which is
    ticked) or that the vendor posts to. `example` is a query on its table. `serve(port)` serves an
    empty account, on a free port for 0. `connections` are the names of the demo's accounts, '' for
    the one without. `counter` is the timer that counts what posts brought, '' for none.
    """

    name: str
    function: str
    example: str
    streams: tuple[VendorStream, ...]
    serve: Callable[[int], AbstractContextManager[Account]]
    connections: tuple[str, ...] = ("",)
    counter: str = ""
