"""App settings: what is read, and what a person is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.connections.names import set_up
from shared.connections.registry import all_settings
from shared.connectors.jira import JiraSettings
from shared.connectors.onelogin import OneLoginSettings
from shared.connectors.sentinelone import CONNECTOR as SENTINELONE_CONNECTOR
from shared.connectors.sentinelone import STREAM_NAMES, SentinelOneSettings
from shared.errors import SettingsError
from shared.settings import app
from shared.settings.reader import read, read_if_set

Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Sets app settings; every other one is absent."""
    for setting in all_settings():
        monkeypatch.delenv(setting.name, raising=False)

    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


SENTINELONE = {"SentinelOneUrl": "https://acme.sentinelone.net", "SentinelOneAPIToken": "t0ken"}
JIRA = {"JiraHomeSiteName": "acme", "JiraUsername": "a@acme.example", "JiraAccessToken": "t0ken"}
RULE = "dcr-" + "0" * 32


def problems_of(read: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as raised:
        read()
    return str(raised.value)


def test_a_connector_without_settings_is_off(put: Put) -> None:
    """No setting at all is a choice, not an error."""
    put()
    assert read_if_set(SentinelOneSettings) is None
    assert read_if_set(JiraSettings) is None
    assert read_if_set(OneLoginSettings) is None


def test_a_connector_with_some_settings_names_every_missing_one(put: Put) -> None:
    """One error tells all that is to be done."""
    put(JiraUsername="a@acme.example")
    said = problems_of(lambda: read_if_set(JiraSettings))
    assert "JiraHomeSiteName is not set" in said
    assert "JiraAccessToken is not set" in said


def test_defaults_are_those_of_the_table(put: Put) -> None:
    """All streams, ten requests a second, hourly inventory, a day back, ten minutes of overlap."""
    put(**SENTINELONE)
    found = read_if_set(SentinelOneSettings)
    assert found is not None
    assert found.streams == STREAM_NAMES
    assert (found.requests_per_second, found.inventory_minutes) == (10, 60)
    assert app.read_polling() == app.PollingSettings(24, 10)


@pytest.mark.parametrize(
    "given",
    [
        "https://acme.sentinelone.net",
        "https://acme.sentinelone.net/",
        " https://acme.sentinelone.net/web/api/v2.1/ ",
        "https://acme.sentinelone.net/web",
        "HTTPS://ACME.SentinelOne.net:443/",
    ],
)
def test_the_consoles_address_is_read_however_it_was_pasted(put: Put, given: str) -> None:
    """Case, default port, a slash or the API's path at its end make no other address."""
    put(**SENTINELONE | {"SentinelOneUrl": given})
    found = read_if_set(SentinelOneSettings)
    assert found is not None
    assert found.url == "https://acme.sentinelone.net"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("acme", "https://acme.atlassian.net"),
        ("ACME", "https://acme.atlassian.net"),
        ("https://Jira.Acme.example:8443/Path/", "https://jira.acme.example:8443/Path"),
        ("acme.atlassian.net", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/rest/api/3", "https://acme.atlassian.net"),
        ("https://jira.acme.example", "https://jira.acme.example"),
        ("https://api.atlassian.com/ex/jira/0f-1e", "https://api.atlassian.com/ex/jira/0f-1e"),
    ],
)
def test_a_jira_site_is_a_name_a_host_or_an_address(put: Put, given: str, url: str) -> None:
    """Custom domains and the gateway of scoped tokens work as well as a site's short name."""
    put(**JIRA | {"JiraHomeSiteName": given})
    found = read_if_set(JiraSettings)
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("SentinelOneUrl", "acme.sentinelone.net", "https://"),
        ("SentinelOneUrl", "http://acme.sentinelone.net", "https://"),
        ("SentinelOneUrl", "https://user:pw@acme.sentinelone.net", "address alone"),
        ("SentinelOneUrl", "https://acme.sentinelone.net:port", "no address"),
        ("SentinelOneStreams", "threats,alarms", "alarms"),
        ("SentinelOneStreams", ",", "names no stream"),
        ("SentinelOneRequestsPerSecond", "many", "number from"),
        ("SentinelOneRequestsPerSecond", "0", "number from"),
        ("SentinelOneAPIToken", "two words", "white space"),
        ("SentinelOneAPIToken", "copied\u200bfrom-a-page", "cannot be part of a token"),
        ("SentinelOneAPIToken", "\u201cquoted\u201d", "cannot be part of a token"),
        ("InitialLookbackHours", "-1", "number from"),
        ("OverlapMinutes", "nan", "number from"),
        ("SentinelOneAPIToken", "@Microsoft.KeyVault(SecretUri=https://v/s)", "did not resolve"),
    ],
)
def test_a_malformed_setting_is_named_with_its_cure(
    put: Put, name: str, value: str, cure: str
) -> None:
    """The message begins with the setting's name and says what to write."""
    put(**SENTINELONE | {name: value})
    polling = name in ("InitialLookbackHours", "OverlapMinutes")
    said = problems_of(app.read_polling if polling else lambda: read_if_set(SentinelOneSettings))
    assert said.startswith(name)
    assert cure in said


def test_no_error_shows_a_secret(put: Put) -> None:
    """Not even a malformed one."""
    put(**SENTINELONE | {"SentinelOneAPIToken": "hush hush"}, WorkspaceKey="hush!", WorkspaceID="x")
    assert "hush" not in problems_of(lambda: read_if_set(SentinelOneSettings))
    assert "hush" not in problems_of(app.read_destination)


def test_http_is_for_loopback_alone(put: Put) -> None:
    """A vendor on one's own machine may do without TLS, no other."""
    put(**SENTINELONE | {"SentinelOneUrl": "http://127.0.0.1:8080"})
    found = read_if_set(SentinelOneSettings)
    assert found is not None
    assert found.url == "http://127.0.0.1:8080"


def test_each_rule_falls_back_to_the_common_one(put: Put) -> None:
    """One rule may serve all streams, or each family its own."""
    put(
        LogsIngestionEndpoint="https://x.ingest.monitor.azure.com/",
        LogsIngestionRuleId=RULE,
        JiraAuditRuleId="dcr-" + "1" * 32,
    )
    found = app.read_destination()
    assert found.endpoint == "https://x.ingest.monitor.azure.com"
    assert found.rule_ids["SentinelOneRuleId"] == RULE
    assert found.rule_ids["JiraAuditRuleId"] == "dcr-" + "1" * 32


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "LogsIngestionEndpoint"),
        ({"LogsIngestionEndpoint": "https://x.example"}, "LogsIngestionRuleId"),
        (
            {"LogsIngestionEndpoint": "https://x.example", "OneLoginRuleId": "/subscriptions/1"},
            "OneLoginRuleId",
        ),
        ({"WorkspaceID": "11111111-2222-3333-4444-555555555555"}, "WorkspaceKey"),
        ({"WorkspaceKey": "a2V5"}, "WorkspaceID"),
        ({"WorkspaceID": "acme", "WorkspaceKey": "a2V5"}, "WorkspaceID"),
        (
            {
                "WorkspaceID": "11111111-2222-3333-4444-555555555555",
                "WorkspaceKey": "a2V5",
                "logAnalyticsUri": "https://evil.example",
            },
            "logAnalyticsUri",
        ),
    ],
)
def test_a_destination_that_cannot_work_is_named(
    put: Put, values: dict[str, str], named: str
) -> None:
    """Before anything is fetched, a person is told which setting to mend."""
    put(**values)
    assert problems_of(app.read_destination).startswith(named)


def test_the_logs_ingestion_api_wins_over_a_workspace_key(put: Put) -> None:
    """Someone who migrates sets the new way in and need not remove the old."""
    put(
        LogsIngestionEndpoint="https://x.example",
        LogsIngestionRuleId=RULE,
        WorkspaceID="11111111-2222-3333-4444-555555555555",
        WorkspaceKey="a2V5",
    )
    assert app.read_destination().endpoint == "https://x.example"


def test_the_workspace_key_alone_leads_to_the_data_collector(put: Put) -> None:
    """Its public address follows from the workspace's id."""
    workspace = "11111111-2222-3333-4444-555555555555"
    put(WorkspaceID=workspace, WorkspaceKey="a2V5")
    found = app.read_destination()
    assert found.endpoint is None
    assert found.data_collector_uri == f"https://{workspace}.ods.opinsights.azure.com"


@pytest.mark.parametrize("name", ["OneLoginBearerToken", "OneLoginBearerTokenSecondary"])
def test_a_short_bearer_token_is_refused_by_name(put: Put, name: str) -> None:
    """A token under 16 characters can be guessed: the message names its setting, not its text."""
    good = {"OneLoginBearerToken": "a" * 16, "OneLoginBearerTokenSecondary": "b" * 16}
    put(**good)
    assert read_if_set(OneLoginSettings) is not None
    put(**good | {name: "only-15-letters"})
    said = problems_of(lambda: read_if_set(OneLoginSettings))
    assert said.startswith(f"{name} is shorter than 16 characters")
    assert "only-15" not in said


@pytest.mark.parametrize(
    "host",
    [
        "acme\u200b.net",
        "acme.net\u200b",
        "acme..net",
        "*.net",
        "a" * 64 + ".net",
        "acme.net;x",
        ".",
    ],
)
def test_a_host_that_cannot_be_one_is_told_by_the_settings_name(put: Put, host: str) -> None:
    """A request to it would say no more than that the vendor does not answer."""
    put(**SENTINELONE | {"SentinelOneUrl": f"https://{host}"})
    assert "SentinelOneUrl is no address" in problems_of(lambda: read_if_set(SentinelOneSettings))


def test_an_invisible_character_behind_the_host_is_told(put: Put) -> None:
    """Text pasted from a chat or a web page may end with one."""
    put(**JIRA | {"JiraHomeSiteName": "https://api.atlassian.com/ex/jira/0123\ufeff"})
    said = problems_of(lambda: read_if_set(JiraSettings))
    assert "JiraHomeSiteName has invisible characters" in said


@pytest.mark.parametrize(
    ("name", "settings"),
    [("JiraAccessToken", JiraSettings), ("OneLoginBearerToken", OneLoginSettings)],
)
def test_a_token_with_an_invisible_character_is_told(
    put: Put, name: str, settings: type[JiraSettings | OneLoginSettings]
) -> None:
    """It would fit nowhere: the vendor's 401, or the webhook's own, does not say why."""
    put(**JIRA | {name: "a-token-of-thirty-characters\u200b"})
    said = problems_of(lambda: read_if_set(settings))
    assert f"{name} has characters that cannot be part of a token" in said
    assert "thirty" not in said


@pytest.mark.parametrize("quote", ['"', "'", "`"])
def test_a_value_in_quotes_is_told(put: Put, quote: str) -> None:
    """As it stands in JSON or a shell; a token in quotes would be refused as a wrong one."""
    put(**{name: f"{quote}{value}{quote}" for name, value in SENTINELONE.items()})
    said = problems_of(lambda: read_if_set(SentinelOneSettings))
    assert "SentinelOneUrl is in quotes" in said
    assert "SentinelOneAPIToken is in quotes" in said
    assert "t0ken" not in said


@pytest.mark.parametrize("kind", ["handler.control", "metrics.ingest"])
def test_another_address_of_the_endpoint_is_told(put: Put, kind: str) -> None:
    """A data collection endpoint shows three addresses; two of them take no logs."""
    endpoint = f"https://acme-dce-x1y2.westeurope-1.{kind}.monitor.azure.com"
    put(LogsIngestionEndpoint=endpoint, LogsIngestionRuleId=RULE)
    assert "LogsIngestionEndpoint is the endpoint's address for" in problems_of(
        app.read_destination
    )


def test_a_settings_name_in_another_case_is_that_setting(put: Put) -> None:
    """On Linux, where the environment has both: a connector would be off without a word."""
    put(SENTINELONEURL="https://acme.sentinelone.net", SentinelOneApiToken="t0ken")
    settings = read_if_set(SentinelOneSettings)
    assert settings is not None
    assert (settings.url, settings.api_token) == ("https://acme.sentinelone.net", "t0ken")
    put(SentinelOneUrl="https://exact.sentinelone.net")
    exact = read_if_set(SentinelOneSettings)
    assert exact is not None
    assert exact.url == "https://exact.sentinelone.net"


def test_a_connections_settings_in_another_case_are_its_own(put: Put) -> None:
    """The connection's name stays as it is written: two that differ by case are an error."""
    put(sentineloneurl__emea="https://emea.sentinelone.net", SENTINELONEAPITOKEN__emea="t0ken")
    assert set_up(SENTINELONE_CONNECTOR).names == ["emea"]
    assert read(SentinelOneSettings, "emea").url == "https://emea.sentinelone.net"
