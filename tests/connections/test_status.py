"""The status by connection."""

from __future__ import annotations

from typing import Any

import pytest

from local.vendors.sentinelone import SentinelOne
from shared.azure import storage
from shared.connectors.sentinelone import CONNECTOR
from shared.diagnostics.connection_test import check_connections
from shared.polling.run import poll
from shared.state.lease import CONTAINER
from tests.app import App, ask
from tests.connections.consoles import Consoles


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
