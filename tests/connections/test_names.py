"""Connections by the names of their settings: found, inherited, refused by their own names."""

from __future__ import annotations

from typing import Protocol

import pytest

from shared.connections.names import set_up
from shared.connections.opening import advice_for, open_connection
from shared.connectors.jira import CONNECTOR as JIRA
from shared.connectors.onelogin import CONNECTOR as ONELOGIN
from shared.connectors.sentinelone import CONNECTOR as SENTINELONE
from shared.errors import SettingsError
from shared.settings.app import read_destination


class Console(Protocol):
    """Sets up a console: its address, its token, or both."""

    def __call__(self, name: str, url: str = "", token: str = "") -> None: ...


URL, TOKEN = "SentinelOneUrl", "SentinelOneAPIToken"
ENDPOINT = "https://acme-dce.westeurope-1.ingest.monitor.azure.com"
OTHER = "https://emea-dce.westeurope-1.ingest.monitor.azure.com"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Sets up a console: `console("emea", "https://emea.example.net", "token")`."""

    def add(name: str, url: str = "", token: str = "") -> None:
        end = f"__{name}" if name else ""
        if url:
            monkeypatch.setenv(URL + end, url)
        if token:
            monkeypatch.setenv(TOKEN + end, token)

    return add


def problems(name: str) -> str:
    with pytest.raises(SettingsError) as raised:
        open_connection(SENTINELONE, name)
    return str(raised.value)


def test_names_are_found_among_the_app_settings(console: Console) -> None:
    """The connection without a name comes first, the others by name; one setting is enough."""
    assert set_up(SENTINELONE).names == []
    console("emea", "https://emea.example.net", "1")
    assert set_up(SENTINELONE).names == ["emea"]
    console("", "https://acme.example.net", "2")
    console("Apac1", token="@Microsoft.KeyVault(VaultName=v;SecretName=s)")
    assert set_up(SENTINELONE).names == ["", "Apac1", "emea"]
    assert set_up(JIRA).names == []
    assert set_up(ONELOGIN).names == []


def test_settings_in_upper_case_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows gives every name so."""
    monkeypatch.setenv("SENTINELONEURL__EMEA", "https://emea.example.net")
    assert set_up(SENTINELONE).names == ["EMEA"]


def test_a_setting_that_others_inherit_makes_no_connection(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside named connections; alone it is a connector half set up, as ever."""
    monkeypatch.setenv("SentinelOneStreams", "threats")
    assert set_up(SENTINELONE).names == [""]
    console("emea", "https://emea.example.net", "1")
    assert set_up(SENTINELONE).names == ["emea"]


def test_what_is_optional_is_inherited_and_may_be_its_own(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong value is named where it stands."""
    console("emea", "https://emea.example.net", "1")
    console("apac", "https://apac.example.net", "2")
    monkeypatch.setenv("SentinelOneStreams", "threats")
    monkeypatch.setenv("SentinelOneStreams__apac", "agents,sites")
    monkeypatch.setenv("SentinelOneInventoryMinutes__emea", "5")
    emea, apac = (open_connection(SENTINELONE, name) for name in ("emea", "apac"))
    assert emea
    assert apac
    assert [source.stream.setting_name for source in emea.sources] == ["threats"]
    assert [source.stream.setting_name for source in apac.sources] == ["agents", "sites"]
    assert (emea.name, emea.inventory_minutes) == ("emea", 5)
    assert (apac.name, apac.inventory_minutes) == ("apac", 60)
    monkeypatch.setenv("SentinelOneStreams", "nonsense")
    assert problems("emea").startswith("SentinelOneStreams has unknown streams")
    assert open_connection(SENTINELONE, "apac")


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("https://emea.example.net", "", "SentinelOneAPIToken__emea is not set"),
        ("", "secret-1", "SentinelOneUrl__emea is not set"),
        ("http://emea.example.net", "secret-1", "SentinelOneUrl__emea must begin with https"),
    ],
)
def test_a_connection_gives_itself_what_is_required_and_every_secret(
    console: Console,
    url: str,
    token: str,
    said: str,
) -> None:
    """Nothing of it comes from the one without a name, and no secret is quoted."""
    console("", "https://acme.example.net", "secret-0")
    console("emea", url, token)
    assert problems("emea").startswith(said)
    assert "secret" not in problems("emea")
    assert open_connection(SENTINELONE)


@pytest.mark.parametrize("suffix", ["", "a_b", "x" * 33, "a.b", "emea__x", "ä"])
def test_a_name_that_is_none_is_named_by_its_setting(console: Console, suffix: str) -> None:
    """It makes no connection, and stops none."""
    console("emea", "https://emea.example.net", "1")
    odd = f"{URL}__{suffix}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(odd, "https://odd.example.net")
        found = set_up(SENTINELONE)
    assert found.names == ["emea"]
    assert found.problems[suffix].startswith(f"{odd}: ")
    assert "1 to 32 letters and digits" in found.problems[suffix]


def test_two_names_that_differ_by_case_are_an_error(console: Console) -> None:
    """Of both, naming every setting; others go on."""
    console("emea", "https://emea.example.net", "1")
    console("EMEA", token="2")
    console("apac", "https://apac.example.net", "3")
    found = set_up(SENTINELONE)
    assert found.names == ["apac"]
    assert found.problems.keys() == {"emea", "EMEA"}
    for name in ("emea", "EMEA"):
        assert "differ by case alone" in problems(name)
        for setting in (f"{TOKEN}__EMEA", f"{TOKEN}__emea", f"{URL}__emea"):
            assert setting in problems(name)


def test_the_same_address_and_token_twice_is_said(console: Console) -> None:
    """By the later one; with another token it is a connection like any other."""
    console("", "https://acme.example.net", "secret-1")
    console("emea", "https://ACME.example.net/", "secret-1")
    assert problems("emea") == (
        "SentinelOneUrl__emea and SentinelOneAPIToken__emea are those without a name: "
        "every record would arrive twice"
    )
    assert open_connection(SENTINELONE)
    console("emea", token="secret-2")
    assert open_connection(SENTINELONE, "emea")
    console("later", "https://acme.example.net", "secret-2")
    assert "are those of the connection emea" in problems("later")


def test_a_connection_that_is_not_set_up_is_none(console: Console) -> None:
    """Its settings were taken away."""
    console("", "https://acme.example.net", "1")
    assert open_connection(SENTINELONE, "emea") is None


def test_advice_names_the_connections_own_settings(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the right one is changed."""
    console("emea", "https://emea.example.net", "1")
    assert advice_for(SENTINELONE, "emea")(401).startswith("SentinelOneAPIToken__emea is wrong")
    assert "SentinelOneUrl__emea" in advice_for(SENTINELONE, "emea")(500)
    assert advice_for(SENTINELONE)(401).startswith("SentinelOneAPIToken is wrong")


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An endpoint, a rule of SentinelOne's and a fallback without a name."""
    monkeypatch.setenv("LogsIngestionEndpoint", ENDPOINT)
    monkeypatch.setenv("LogsIngestionRuleId", "dcr-fallback")
    monkeypatch.setenv("SentinelOneRuleId", "dcr-sentinelone")
    return monkeypatch


def test_records_go_where_those_without_a_name_go(destination: pytest.MonkeyPatch) -> None:
    """Unless the connection says otherwise; a rule of its own stands beside the others."""
    assert read_destination("emea") == read_destination()
    destination.setenv("SentinelOneRuleId__emea", "dcr-emea")
    found = read_destination("emea")
    assert found.endpoint == ENDPOINT
    assert found.rule_ids["SentinelOneRuleId"] == "dcr-emea"
    assert found.rule_ids["JiraAuditRuleId"] == "dcr-fallback"
    assert read_destination().rule_ids["SentinelOneRuleId"] == "dcr-sentinelone"


@pytest.mark.parametrize(
    "own",
    [
        {"LogsIngestionEndpoint__emea": OTHER, "LogsIngestionRuleId__emea": "dcr-emea"},
        {"LogsIngestionRuleId__emea": "dcr-emea"},
    ],
)
def test_a_connection_with_a_destination_of_its_own_uses_no_others_rule(
    destination: pytest.MonkeyPatch, own: dict[str, str]
) -> None:
    """Neither a stream's rule nor the fallback: they stand in another's workspace."""
    for name, value in own.items():
        destination.setenv(name, value)
    found = read_destination("emea")
    assert set(found.rule_ids.values()) == {"dcr-emea"}
    assert found.endpoint == own.get("LogsIngestionEndpoint__emea", ENDPOINT)


def test_an_endpoint_of_its_own_needs_a_rule_of_its_own(destination: pytest.MonkeyPatch) -> None:
    """It is asked for by its own name."""
    destination.setenv("LogsIngestionEndpoint__emea", OTHER)
    with pytest.raises(SettingsError, match=r"^LogsIngestionRuleId__emea is not set"):
        read_destination("emea")
    destination.setenv("SentinelOneRuleId__emea", "dcr-emea")
    assert read_destination("emea").rule_ids == {"SentinelOneRuleId": "dcr-emea"}


@pytest.mark.parametrize("setting", ["WorkspaceID", "WorkspaceKey", "OverlapMinutes"])
def test_a_name_on_a_setting_that_takes_none_is_said(
    destination: pytest.MonkeyPatch, setting: str
) -> None:
    """It fails that connection and no other."""
    destination.setenv(f"{setting}__emea", "anything")
    with pytest.raises(SettingsError, match=f"^{setting}__emea: this setting takes no"):
        read_destination("emea")
    assert read_destination("apac") == read_destination()


def test_rules_of_a_connection_need_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the Data Collector API they would be ignored without a word."""
    monkeypatch.setenv("WorkspaceID", "01234567-89ab-cdef-0123-456789abcdef")
    monkeypatch.setenv("WorkspaceKey", "a2V5")
    assert read_destination("emea") == read_destination()
    monkeypatch.setenv("SentinelOneRuleId__emea", "dcr-emea")
    with pytest.raises(SettingsError, match=r"^LogsIngestionEndpoint__emea is not set, nor is"):
        read_destination("emea")
