"""App settings and Key Vault, read into frozen dataclasses; errors name the setting and the cure.

``SETTINGS`` is the one list of every setting: the README's table, ``local.settings.json.example``
and the template's parameters come from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import SettingsError
from shared.settings import checks, key_vault
from shared.settings.setting import Setting

ALL_STREAMS = (
    "alerts",
    "unifiedalerts",
    "threats",
    "activities",
    "devicecontrol",
    "agents",
    "groups",
    "applications",
    "policies",
    "sites",
)


SETTINGS = (
    Setting(
        "SentinelOneUrl",
        "SentinelOne",
        "The console's address, with or without a trailing slash.",
        required=True,
        example="https://acme.sentinelone.net",
    ),
    Setting(
        "SentinelOneAPIToken",
        "SentinelOne",
        "A service user's API token with the Viewer role.",
        required=True,
        secret=True,
    ),
    Setting(
        "SentinelOneStreams",
        "SentinelOne",
        "Which streams to poll, comma-separated: " + ", ".join(ALL_STREAMS) + ".",
        default=",".join(ALL_STREAMS),
    ),
    Setting(
        "SentinelOneRequestsPerSecond",
        "SentinelOne",
        "The most requests a second sent to the console.",
        default="10",
        bounds=(0.1, 10_000),
    ),
    Setting(
        "SentinelOneInventoryMinutes",
        "SentinelOne",
        "How often agents, groups, applications, policies and sites are looked at.",
        default="60",
        bounds=(0, 7 * 24 * 60),
    ),
    Setting(
        "JiraHomeSiteName",
        "Jira",
        "`acme`, `acme.atlassian.net` or a full URL, also "
        "`https://api.atlassian.com/ex/jira/{cloudId}`.",
        required=True,
        example="acme",
    ),
    Setting(
        "JiraUsername",
        "Jira",
        "The e-mail address of an account with Administer Jira.",
        required=True,
        example="audit@acme.example",
    ),
    Setting("JiraAccessToken", "Jira", "That account's API token.", required=True, secret=True),
    Setting(
        "OneLoginBearerToken",
        "OneLogin",
        "The token that OneLogin sends in its `Authorization: Bearer` header.",
        required=True,
        secret=True,
    ),
    Setting(
        "OneLoginBearerTokenSecondary",
        "OneLogin",
        "A second token that is valid too, to change the first without a gap.",
        secret=True,
    ),
    Setting(
        "LogsIngestionEndpoint",
        "Delivery",
        "The data collection endpoint's (or direct rule's) logs ingestion address.",
        example="https://acme-dce-x1y2.westeurope-1.ingest.monitor.azure.com",
    ),
    Setting(
        "LogsIngestionRuleId",
        "Delivery",
        "The immutable id of the rule for every stream that has no rule of its own.",
        example="dcr-0123456789abcdef0123456789abcdef",
    ),
    Setting("SentinelOneRuleId", "Delivery", "The rule for SentinelOne's streams."),
    Setting("OneLoginRuleId", "Delivery", "The rule for OneLogin's stream."),
    Setting("JiraAuditRuleId", "Delivery", "The rule for Jira's stream."),
    Setting("ConnectorHealthRuleId", "Delivery", "The rule for the connectors' own health rows."),
    Setting(
        "WorkspaceID",
        "Delivery",
        "The workspace for the signed Data Collector API; used only without LogsIngestionEndpoint.",
    ),
    Setting("WorkspaceKey", "Delivery", "That workspace's key.", secret=True),
    Setting(
        "logAnalyticsUri",
        "Delivery",
        "The Data Collector's address where it is not the public cloud's.",
        example="https://<WorkspaceID>.ods.opinsights.azure.us",
    ),
    Setting(
        "AzureWebJobsStorage",
        "Platform",
        "Checkpoints, spool and dead letters: a connection string, or with an identity "
        "`AzureWebJobsStorage__accountName` (or `__tableServiceUri`, `__queueServiceUri`, "
        "`__blobServiceUri`).",
        required=True,
        secret=True,
        example="UseDevelopmentStorage=true",
    ),
    Setting(
        "AZURE_CLIENT_ID", "Platform", "The client id of a user-assigned identity, if it is one."
    ),
    Setting(
        "KeyVaultUri",
        "Platform",
        "A vault in which a secret setting that is absent is looked up by its name.",
        example="https://acme-key_vault.vault.azure.net",
    ),
    Setting(
        "InitialLookbackHours",
        "Platform",
        "How far back a stream begins that has no checkpoint.",
        default="24",
        bounds=(0, 365 * 24),
    ),
    Setting(
        "OverlapMinutes",
        "Platform",
        "How late an event may appear and still arrive: each window begins so much earlier.",
        default="10",
        bounds=(0, 24 * 60),
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """How far back polling looks: at first, and at every window."""

    initial_lookback_hours: float
    overlap_minutes: float


@dataclass(frozen=True, slots=True)
class SentinelOneSettings:
    """``url`` has no trailing slash and no ``/web/api``; ``streams`` are setting names."""

    url: str
    api_token: str
    streams: tuple[str, ...]
    requests_per_second: float
    inventory_minutes: float
    polling: PollingSettings


@dataclass(frozen=True, slots=True)
class JiraSettings:
    """``url`` is the site's address without a trailing slash, to which ``/rest/api/3`` is added."""

    url: str
    username: str
    access_token: str
    polling: PollingSettings


@dataclass(frozen=True, slots=True)
class OneLoginSettings:
    """``bearer_tokens`` are the one or two tokens that are valid now."""

    bearer_tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """Where records go: the Logs Ingestion API, or with ``endpoint`` None the Data Collector API.

    ``rule_ids`` maps a rule setting's name (``SentinelOneRuleId``) to an immutable id, the
    fallback already applied.
    """

    endpoint: str | None
    rule_ids: Mapping[str, str]
    workspace_id: str = ""
    workspace_key: str = ""
    data_collector_uri: str = ""


class _Reader:
    """Reads settings and collects what is wrong with them, to be raised as one error."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def text(self, name: str, check: Callable[[str], str] | None = None) -> str:
        """The setting's value, checked; '' where it is absent or wrong."""
        setting = _BY_NAME[name]
        value = key_vault.lookup(name, secret=setting.secret)
        if value is None:
            if setting.required:
                where = f", nor is it in the vault {key_vault.uri()}" if key_vault.uri() else ""
                self.problems.append(f"{name} is not set{where if setting.secret else ''}")
            return setting.default or ""
        if value.startswith("@Microsoft.KeyVault("):
            self.problems.append(
                f"{name} is a Key Vault reference that did not resolve: see the setting's status "
                "in the portal, and give the app's identity the role Key Vault Secrets User"
            )
            return ""
        if setting.secret and re.search(r"\s", value):
            self.problems.append(f"{name} has white space inside: paste the value again")
            return ""
        try:
            return check(value) if check else value
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return ""

    def number(self, name: str) -> float:
        low, high = _BY_NAME[name].bounds

        def check(value: str) -> str:
            try:
                inside = low <= float(value) <= high
            except ValueError:
                inside = False
            if not inside:
                raise ValueError(f"must be a number from {low:g} to {high:g}")
            return value

        return float(self.text(name, check) or _BY_NAME[name].default or "nan")

    def done(self) -> None:
        if self.problems:
            raise SettingsError(self.problems)


def read_polling(reader: _Reader | None = None) -> PollingSettings:
    """How far back to look; raises SettingsError."""
    own = reader or _Reader()
    settings = PollingSettings(
        initial_lookback_hours=own.number("InitialLookbackHours"),
        overlap_minutes=own.number("OverlapMinutes"),
    )
    if reader is None:
        own.done()
    return settings


def _configured(section: str) -> bool:
    """Whether any setting of the connector is there.

    A connector that has settings which are no secrets is not looked for in the vault.
    """
    own = [setting for setting in SETTINGS if setting.section == section]
    if any(key_vault.environment(setting.name) is not None for setting in own):
        return True
    if any(not setting.secret for setting in own):
        return False
    return any(key_vault.lookup(setting.name, secret=True) is not None for setting in own)


def read_sentinelone() -> SentinelOneSettings | None:
    """None where the connector is off; raises SettingsError naming every wrong setting."""
    if not _configured("SentinelOne"):
        return None
    reader = _Reader()
    settings = SentinelOneSettings(
        url=reader.text("SentinelOneUrl", checks.sentinelone_url),
        api_token=reader.text("SentinelOneAPIToken", checks.api_token),
        streams=tuple(
            reader.text(
                "SentinelOneStreams", lambda value: checks.streams(value, ALL_STREAMS)
            ).split(",")
        ),
        requests_per_second=reader.number("SentinelOneRequestsPerSecond"),
        inventory_minutes=reader.number("SentinelOneInventoryMinutes"),
        polling=read_polling(reader),
    )
    reader.done()
    return settings


def read_jira() -> JiraSettings | None:
    """None where the connector is off; raises SettingsError naming every wrong setting."""
    if not _configured("Jira"):
        return None
    reader = _Reader()
    settings = JiraSettings(
        url=reader.text("JiraHomeSiteName", checks.jira_url),
        username=reader.text("JiraUsername", checks.username),
        access_token=reader.text("JiraAccessToken"),
        polling=read_polling(reader),
    )
    reader.done()
    return settings


def read_onelogin() -> OneLoginSettings | None:
    """None where the connector is off; raises SettingsError naming every wrong setting."""
    if not _configured("OneLogin"):
        return None
    reader = _Reader()
    first = reader.text("OneLoginBearerToken")
    second = reader.text("OneLoginBearerTokenSecondary")
    reader.done()
    return OneLoginSettings(bearer_tokens=tuple(token for token in (first, second) if token))


RULE_SETTINGS = tuple(
    setting.name
    for setting in SETTINGS
    if setting.name.endswith("RuleId") and setting.name != "LogsIngestionRuleId"
)


def read_destination() -> DestinationSettings:
    """Where records go; raises SettingsError naming every wrong setting."""
    reader = _Reader()
    endpoint = reader.text(
        "LogsIngestionEndpoint",
        lambda value: checks.https(value, _BY_NAME["LogsIngestionEndpoint"].example),
    )
    if endpoint or reader.problems:
        fallback = reader.text("LogsIngestionRuleId", checks.rule_id)
        rules = {name: reader.text(name, checks.rule_id) or fallback for name in RULE_SETTINGS}
        if not any(rules.values()) and not reader.problems:
            reader.problems.append(
                "LogsIngestionRuleId is not set: give the immutable id (dcr-…) of a data "
                "collection rule, here or in " + ", ".join(RULE_SETTINGS)
            )
        reader.done()
        return DestinationSettings(endpoint, {name: rule for name, rule in rules.items() if rule})
    workspace = reader.text("WorkspaceID", checks.workspace_id)
    key = reader.text("WorkspaceKey", checks.workspace_key)
    uri = reader.text("logAnalyticsUri", checks.data_collector_uri)
    if not reader.problems:
        if not workspace and not key:
            reader.problems.append(
                "LogsIngestionEndpoint is not set: give the address of a data collection endpoint "
                "(or, for the Data Collector API, WorkspaceID and WorkspaceKey)"
            )
        elif not workspace or not key:
            missing = "WorkspaceKey" if workspace else "WorkspaceID"
            reader.problems.append(f"{missing} is not set, and the Data Collector API needs it")
    reader.done()
    return DestinationSettings(
        None, {}, workspace, key, uri or f"https://{workspace}.ods.opinsights.azure.com"
    )
