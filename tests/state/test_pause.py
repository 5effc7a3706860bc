"""A connection's pause beside its lease, on the storage emulator."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from shared.azure.storage import forget_clients
from shared.errors import StorageUnavailable
from shared.records.timestamps import utc_now
from shared.state.lease import held_lease, read_leases
from shared.state.pause import pause, paused_since, resume


def test_a_connection_is_paused_by_itself_and_also_while_it_is_leased(storage: str) -> None:
    """One listing tells leases and pauses apart; the lease's holder writes as before."""
    assert paused_since("Jira") is None
    assert resume("Jira") is False
    with held_lease("Jira", "emea") as lease:
        assert lease
        lease.begin()
        assert pause("Jira", "emea") is True
        assert pause("Jira", "emea") is False
        lease.end("ok")
    found = read_leases()
    assert found.paused.keys() == {"Jira__emea"}
    assert found.polls.keys() == {"Jira__emea"}
    assert found.polls["Jira__emea"].outcome == "ok"
    since = paused_since("Jira", "emea")
    assert since
    assert abs(utc_now() - since) < timedelta(minutes=1)
    assert paused_since("Jira") is None
    assert resume("Jira", "emea") is True
    assert read_leases().paused == {}


def test_a_pause_is_possible_before_the_first_poll(storage: str) -> None:
    """The container is made where there is none."""
    assert pause("SentinelOne") is True
    assert read_leases().paused.keys() == {"SentinelOne"}
    with held_lease("SentinelOne") as lease:
        assert lease


def test_storage_that_is_down_is_told(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll does not begin where it cannot be known whether it may."""
    monkeypatch.setenv("AzureWebJobsStorage", re.sub(r":\d+/", ":9/", storage))
    forget_clients()
    with pytest.raises(StorageUnavailable):
        paused_since("Jira")
