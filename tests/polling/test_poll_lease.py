"""The lease under which a connection is polled, on the storage emulator."""

from __future__ import annotations

import pytest

from shared.azure import storage as clients
from shared.polling.poll_lease import lease_to_poll
from shared.state.lease import read_leases
from shared.state.pause import pause


def test_the_tables_client_is_there_once_the_lease_is_held(storage: str) -> None:
    """A cold start imports it while Storage answers for the lease."""
    clients.forget_clients()
    with lease_to_poll("Jira", "") as lease:
        assert lease is not None
        assert clients.table._made


def test_a_lease_that_is_not_used_is_given_back(
    storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A paused connection's at once; a held one's holder has it to its end."""
    caplog.set_level("INFO")
    with lease_to_poll("Jira", "emea") as lease, lease_to_poll("Jira", "emea") as second:
        assert lease is not None
        assert second is None
        assert "connection_held" in caplog.text
        assert pause("Jira", "emea")
    with lease_to_poll("Jira", "emea") as lease:
        assert lease is None
        assert "connection_paused" in caplog.text
    assert not read_leases().held
