"""The status by connection."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from local.loopback.faults import FOREVER, first, silence
from local.vendors.sentinelone import SentinelOne
from shared.azure import storage
from shared.connectors.sentinelone import CONNECTOR
from shared.diagnostics.connection_test import check_connections
from shared.polling.run import poll
from shared.records.timestamps import utc_now
from shared.state.lease import CONTAINER
from shared.status import token_ends
from tests.app import App, ask
from tests.connections.consoles import Consoles

TOKEN_DETAILS = "/users/api-token-details"


def told(app: App) -> dict[tuple[str, str], dict[str, Any]]:
    """Each connection of the status as JSON, by connector and name."""
    return {(c["name"], c["connection"]): c for c in app.status()["connectors"]}


def test_each_connection_has_its_own_state(
    app: App, consoles: Consoles, sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with one is told by its own name; the others are well."""
    consoles.add("emea", activities=range(3))
    monkeypatch.setenv("SentinelOneUrl__apac", "https://apac.example.net")
    monkeypatch.setenv("SentinelOneUrl__a_b", "https://odd.example.net")
    for name in ("", "emea"):
        poll(CONNECTOR, name)
    found = told(app)
    assert {name for connector, name in found if connector == "SentinelOne"} == {
        "",
        "emea",
        "apac",
        "a_b",
    }
    for name in ("", "emea"):
        assert found["SentinelOne", name]["assessment"]["state"] == "ok"
    assert "SentinelOneAPIToken__apac" in found["SentinelOne", "apac"]["assessment"]["reason"]
    assert "SentinelOneUrl__a_b" in found["SentinelOne", "a_b"]["assessment"]["reason"]
    page = ask("GET", accept="text/html").get_body().decode()
    assert "SentinelOne emea" in page


def test_a_connection_that_is_put_off_says_until_when(app: App, consoles: Consoles) -> None:
    """By Storage's clock."""
    consoles.add("emea")
    poll(CONNECTOR, "emea")
    blob = storage.container(CONTAINER).get_blob_client("SentinelOne__emea")
    blob.set_blob_metadata({"began": "2099-01-01T00:00:00Z", "due": "2099-01-01T00:30:00Z"})
    assert str(told(app)["SentinelOne", "emea"]["due"]).startswith("2099-01-01T00:30")
    assert (
        "put off until 2099-01-01 00:30 UTC" in ask("GET", accept="text/html").get_body().decode()
    )


def test_the_page_of_one_connection_tests_that_one(app: App, consoles: Consoles) -> None:
    """The page chooses by a part of the name; a text that chooses none is no passed test."""
    consoles.add("emea")
    consoles.add("apac")
    for text in ("SentinelOne emea", "EMEA", "mea"):
        report = check_connections("sentinelone", text)
        assert {step.part for step in report.steps} == {"SentinelOne emea"}
        assert report.passed
    assert not check_connections("sentinelone", "console99").passed
    parts = {step.part for step in check_connections("all", "OneLogin").steps}
    assert "OneLogin" in parts
    assert not any(part.startswith("SentinelOne") for part in parts)


def test_vendors_are_asked_side_by_side_when_tokens_end(
    app: App, consoles: Consoles, sentinelone: SentinelOne
) -> None:
    """Each console answers only once all three are asked."""
    all_asked = threading.Barrier(3)
    for console in (sentinelone, consoles.add("emea"), consoles.add("apac")):
        console.token_expires_at = utc_now() + timedelta(days=5)
        console.faults.add(TOKEN_DETAILS, first(lambda: all_asked.wait(4)), times=FOREVER)
    found = told(app)
    assert all(found["SentinelOne", name]["token_expires"] for name in ("", "emea", "apac"))


def test_a_console_that_does_not_tell_in_time_holds_up_no_page(
    app: App, consoles: Consoles, sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' answers are there, and its own entry says that it has not answered."""
    monkeypatch.setattr(token_ends, "_SECONDS", 1.0)
    sentinelone.token_expires_at = utc_now() + timedelta(days=5)
    consoles.add("emea").faults.add(TOKEN_DETAILS, silence())
    found = told(app)
    assert found["SentinelOne", ""]["token_expires"]
    assert "has not answered" in found["SentinelOne", "emea"]["token_note"]


def test_a_probe_asks_no_vendor(app: App, consoles: Consoles, sentinelone: SentinelOne) -> None:
    """It learns of the state from storage alone; the page itself asks."""
    console = consoles.add("emea")
    for each in (sentinelone, console):
        each.faults.add("", first(lambda: None), times=FOREVER)
    ask("GET", {"probe": "1"})
    assert not sentinelone.faults.happened + console.faults.happened
    assert ask("GET").status_code == 200
    assert sentinelone.faults.happened
    assert console.faults.happened
