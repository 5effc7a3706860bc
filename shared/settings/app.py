"""The app's own settings: where records go, and what the platform needs.

Connectors declare theirs in shared/connectors; the rule settings of their streams come from
sentinel/tables, by way of shared/records/declared_streams.json.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.records.declared import declared_streams
from shared.settings import checks
from shared.settings.key_vault import environment
from shared.settings.names import SEPARATOR, suffixed
from shared.settings.reader import SettingsReader, read
from shared.settings.setting import Setting, declared, setting

HEALTH_RULE = "ConnectorHealthRuleId"
_ENDPOINT_EXAMPLE = "https://acme-dce-x1y2.westeurope-1.ingest.monitor.azure.com"


# The other two addresses that a data collection endpoint shows beside that of logs ingestion.
_OTHER_ENDPOINTS = {".handler.control.monitor.": "configuration", ".metrics.ingest.": "metrics"}


def _endpoint_url(value: str) -> str:
    url = checks.https_url(value, _ENDPOINT_EXAMPLE)
    for part, kind in _OTHER_ENDPOINTS.items():
        if part in url:
            raise ValueError(
                f"is the endpoint's address for {kind}: give the one for logs ingestion, like "
                f"{_ENDPOINT_EXAMPLE}"
            )
    return url


ENDPOINT = Setting(
    "LogsIngestionEndpoint",
    "The data collection endpoint's (or direct rule's) logs ingestion address.",
    example=_ENDPOINT_EXAMPLE,
    check=_endpoint_url,
)
FALLBACK_RULE = Setting(
    "LogsIngestionRuleId",
    "The immutable id of the rule for every stream that has no rule of its own.",
    example="dcr-0123456789abcdef0123456789abcdef",
    check=checks.rule_id,
)
WORKSPACE_ID = Setting(
    "WorkspaceID",
    "The workspace for the signed Data Collector API; used only without LogsIngestionEndpoint.",
    check=checks.workspace_id,
)
WORKSPACE_KEY = Setting(
    "WorkspaceKey", "That workspace's key.", secret=True, check=checks.workspace_key
)
DATA_COLLECTOR_URI = Setting(
    "logAnalyticsUri",
    "The Data Collector's address where it is not the public cloud's.",
    example="https://<WorkspaceID>.ods.opinsights.azure.us",
    check=checks.data_collector_uri,
)


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """What the Functions host and the SDKs read by themselves; declared here to be listed."""

    storage: str = setting(
        "AzureWebJobsStorage",
        "Checkpoints, spool and dead letters: a connection string, or with an identity "
        "`AzureWebJobsStorage__accountName` (or `__tableServiceUri`, `__queueServiceUri`, "
        "`__blobServiceUri`).",
        required=True,
        secret=True,
        example="UseDevelopmentStorage=true",
    )
    client_id: str = setting(
        "AZURE_CLIENT_ID", "The client id of a user-assigned identity, if it is one."
    )
    vault: str = setting(
        "KeyVaultUri",
        "A vault in which a secret setting that is absent is looked up by its name.",
        example="https://acme-vault.vault.azure.net",
    )


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """How far back polling looks: at first, and at every window."""

    initial_lookback_hours: float = setting(
        "InitialLookbackHours",
        "How far back a stream begins that has no checkpoint. Azure stamps events over two days "
        "old with the time of receipt; the parsers' EventTime stays the event's own.",
        default="24",
        bounds=(0, 365 * 24),
    )
    overlap_minutes: float = setting(
        "OverlapMinutes",
        "How late an event may appear and still arrive: each window begins so much earlier.",
        default="10",
        bounds=(0, 24 * 60),
    )


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """Where records go: the Logs Ingestion API, or with ``endpoint`` None the Data Collector API.

    ``rule_ids`` maps a rule setting's name (``<Vendor>RuleId``) to an immutable id, the fallback
    already applied; ``own_names`` has the settings in force of those that are a named connection's.
    """

    endpoint: str | None
    rule_ids: Mapping[str, str]
    workspace_id: str = ""
    workspace_key: str = ""
    data_collector_uri: str = ""
    own_names: Mapping[str, str] = field(default_factory=dict, compare=False)


def rule_settings() -> Mapping[str, Setting]:
    """The setting of each data collection rule, by its name; the health rows' last."""
    streams: dict[str, list[str]] = {}
    connectors: dict[str, str] = {}
    for name, stream in declared_streams().items():
        if stream.rule_setting and stream.rule_setting != HEALTH_RULE:
            streams.setdefault(stream.rule_setting, []).append(name)
            connectors[stream.rule_setting] = stream.connector
    rules = {
        rule: f"The rule for {connectors[rule]}'s stream{'s' if len(names) > 1 else ''}."
        for rule, names in sorted(streams.items())
    }
    rules[HEALTH_RULE] = "The rule for the connectors' own health rows."
    return {name: Setting(name, meaning, check=checks.rule_id) for name, meaning in rules.items()}


def delivery_settings() -> list[Setting]:
    """Every setting that says where records go, in the README's order."""
    return [
        ENDPOINT,
        FALLBACK_RULE,
        *rule_settings().values(),
        WORKSPACE_ID,
        WORKSPACE_KEY,
        DATA_COLLECTOR_URI,
    ]


def platform_settings() -> list[Setting]:
    """Every setting of the platform and of polling, in the README's order."""
    return [*declared(PlatformSettings).values(), *declared(PollingSettings).values()]


def read_polling() -> PollingSettings:
    """How far back to look; raises SettingsError."""
    return read(PollingSettings)


def read_destination(connection: str = "") -> DestinationSettings:
    """Where a connection's records go; raises SettingsError naming every wrong setting."""
    reader = SettingsReader(connection)
    reader.problems += _names_on_settings_without(connection)
    endpoint = reader.value(ENDPOINT)
    if endpoint or reader.problems:
        return _logs_ingestion(reader, endpoint)
    if connection and any(reader.own_value(rule) for rule in _rules()):
        reader.problems.append(
            f"{ENDPOINT.named(connection).name} is not set, nor is {ENDPOINT.name}: the rules of "
            f"the connection {connection} need one"
        )
    workspace, key = reader.value(WORKSPACE_ID), _of_app(reader, WORKSPACE_KEY)
    uri = reader.value(DATA_COLLECTOR_URI)
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


def _rules() -> list[Setting]:
    return [FALLBACK_RULE, *rule_settings().values()]


def _of_app(reader: SettingsReader, setting: Setting) -> Any:
    """The value of a setting that takes no connection's name."""
    app = SettingsReader()
    value = app.value(setting)
    reader.problems += app.problems
    return value


def _logs_ingestion(reader: SettingsReader, endpoint: str) -> DestinationSettings:
    """The rules of a connection: its own, then the fallbacks.

    A connection with an endpoint or a fallback rule of its own uses no rule without a name: that
    one stands in another's workspace.
    """
    own_fallback = reader.own_value(FALLBACK_RULE)
    apart = reader.connection and (own_fallback or reader.own_value(ENDPOINT))
    if apart:
        fallback, value = own_fallback, reader.own_value
    else:
        fallback, value = reader.value(FALLBACK_RULE), reader.value
    rules = {name: value(each) or fallback for name, each in rule_settings().items()}
    if not any(rules.values()) and not reader.problems:
        missing = FALLBACK_RULE.named(reader.connection) if apart else FALLBACK_RULE
        reader.problems.append(
            f"{missing.name} is not set: give the immutable id (dcr-…) of a data "
            "collection rule, here or in "
            + ", ".join(f"{name}{missing.name.removeprefix(FALLBACK_RULE.name)}" for name in rules)
        )
    reader.done()
    own_names = {
        name: own.name
        for name, each in rule_settings().items()
        for own in (FALLBACK_RULE.named(reader.connection), each.named(reader.connection))
        if reader.connection and environment(own.name)
    }
    set_rules = {name: rule for name, rule in rules.items() if rule}
    return DestinationSettings(endpoint, set_rules, own_names=own_names)


def _names_on_settings_without(connection: str) -> list[str]:
    """A sentence for each setting that takes no name and has this connection's."""
    if not connection:
        return []
    found = suffixed(settings_without_name()).get(connection, ())
    return [f"{name}: this setting takes no connection's name" for name in found]


def is_set_up(connection: str) -> bool:
    """Whether a connector's setting has this connection's name; those of destinations do not count.

    A connector's settings begin with its name, so that no vendor's module is imported for this.
    """
    connectors = tuple({stream.connector.lower() for stream in declared_streams().values()})
    of_destinations = {each.name.lower() for each in settings_of_destinations()}
    parts = [(name.partition(SEPARATOR), os.environ[name].strip()) for name in os.environ]
    return any(
        value
        and suffix == connection
        and prefix.lower().startswith(connectors)
        and prefix.lower() not in of_destinations
        for (prefix, _, suffix), value in parts
    )


def settings_without_name() -> list[Setting]:
    """The settings that are the whole app's; that of its storage has suffixes of its own."""
    platform = [each for each in platform_settings() if each.name != "AzureWebJobsStorage"]
    return [WORKSPACE_ID, WORKSPACE_KEY, DATA_COLLECTOR_URI, *platform]


def settings_of_destinations() -> list[Setting]:
    """The settings of destinations that may carry a connection's name."""
    return [ENDPOINT, *_rules()]
