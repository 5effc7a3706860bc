"""The template's parameters. A setting's parameter has the app setting's name."""

from __future__ import annotations

from collections.abc import Iterable

from shared.settings.setting import Setting
from tools import project
from tools.asim import custom_functions
from tools.content import load_parsers
from tools.template.arm import Json, parameter, value
from tools.template.optional_columns import OptionalColumn, optional_columns
from tools.template.sections import Section, sections


def _text(description: str, default: str | None = None, **more: object) -> Json:
    return _parameter("string", description, default, **more)


def _secret(description: str) -> Json:
    # An empty default lets a later deployment leave a secret as it stands in Key Vault.
    return _parameter("secureString", description, "")


def _parameter(kind: str, description: str, default: object = None, **more: object) -> Json:
    given = {} if default is None else {"defaultValue": default}
    return {"type": kind, **given, **more, "metadata": {"description": description}}


def parameters(tables: Iterable[str], *, elsewhere: bool) -> Json:
    """Every parameter, in the order in which a person meets them.

    ``elsewhere``: also those that say in which resource group the workspace is.
    """
    return {
        **_place(elsewhere),
        **_connectors(),
        "connections": _parameter(
            "array",
            'Further consoles, sites or accounts, like [{"connector": "Acme", "name": '
            '"emea", "settings": {"AcmeUrl": "https://…"}}]. No secrets: those go '
            "into Key Vault as AcmeToken--emea.",
            [],
        ),
        **_content(tables),
        **_app(),
        **_package(),
    }


def _place(elsewhere: bool) -> Json:
    group = {
        "workspaceResourceGroup": _text("The workspace's resource group."),
        "workspaceSubscriptionId": _text(
            "The workspace's subscription.", "[subscription().subscriptionId]"
        ),
    }
    return {
        "workspaceName": _text("The Log Analytics workspace that Microsoft Sentinel runs on."),
        **(group if elsewhere else {}),
        "workspaceLocation": _text(
            "The workspace's region. Its data collection rules must stand in the same one.",
            "[resourceGroup().location]",
        ),
        "location": _text(
            "The function app's region; Flex Consumption must be offered there.",
            "[resourceGroup().location]",
        ),
        "namePrefix": _text(
            "Begins every resource's name. Two deployments in one resource group need two.",
            "seclogs",
            minLength=2,
            maxLength=9,
        ),
    }


def _connectors() -> Json:
    made: Json = {}
    for section in sections():
        made |= {each.name: _setting(section, each) for each in section.settings.values()}
        if section.portal and not section.switch:
            secret = section.secrets[0].name
            made[section.use] = _parameter(
                "bool",
                f"Deploy {section.key}'s part. Set it when you deploy again without repeating "
                f"{secret}.",
                value(f"not(empty({parameter(secret)}))"),
            )
    return made


def _setting(section: Section, setting: Setting) -> Json:
    meaning = setting.meaning.replace("`", "")
    if setting.secret:
        return _secret(f"{meaning} Empty: the one in Key Vault stays.")
    if setting == section.switch:
        return _text(f"{meaning} Empty: no {section.key}.", "")
    if setting.default is None:
        return _text(meaning, "")
    default = setting.default_text or setting.default
    return _text(f"{meaning} Empty: as the app has it, at first {default}.", "")


def _content(tables: Iterable[str]) -> Json:
    return {
        "sentinelContent": _text(
            "Parsers, analytics rules, workbook and Data connectors pages. once: install what "
            "this deployment has not installed before, so that nothing you tuned is overwritten. "
            "always: install all of it again. never: leave it out.",
            "once",
            allowedValues=["once", "always", "never"],
        ),
        "enableRules": _parameter("bool", "Install the analytics rules switched on.", True),
        "installParsers": _parameter(
            "bool",
            f"Install the functions {', '.join(p.alias for p in load_parsers())}. False when a "
            "solution in the workspace already has functions of those names.",
            True,
        ),
        "asimCustomFunctions": _parameter(
            "bool",
            f"Make the functions {', '.join(each.alias for each in custom_functions())}, through "
            "which Microsoft's unifying ASIM parsers read ours. Only in a workspace that has none "
            "of them: docs/asim.md has the lines to add where it has.",
            False,
        ),
        "migratedTables": _parameter(
            "array",
            "Tables that the Data Collector API made and that you have migrated: their columns, "
            f"types and retention stay. Of {', '.join(tables)}.",
            [],
        ),
        **{column.parameter: _column(column) for column in optional_columns()},
        "tablePlan": _text(
            "The plan of tables that are new; a table that exists keeps its own. Rules, parsers "
            "and the workbook read Analytics only. Auxiliary cannot be changed later.",
            "Analytics",
            allowedValues=["Analytics", "Basic", "Auxiliary"],
        ),
        "activityData": _text(
            "How activities carry their details: in columns, in DataFields_s as "
            "JSON, or both. Rules that one of them would blind are left out.",
            "both",
            allowedValues=["both", "columns", "json"],
        ),
        "filters": _parameter(
            "object",
            "What is stored of a stream: a KQL predicate on its table's columns by the stream's "
            'name, like {"Custom-AcmeEvents": "eventType_d != 5"}. Check it '
            "first: python -m tools check-filter.",
            {},
        ),
    }


def _column(column: OptionalColumn) -> Json:
    description = f"Give {column.table} the column {column.name}."
    if column.twin:
        description = (
            f"Give {column.table} the column {column.name} beside {column.twin}. Off, because it "
            "is not confirmed that the service takes two names that differ in case only."
        )
    return _parameter("bool", description, False)


def _app() -> Json:
    return {
        "alwaysReadyWebhook": _parameter(
            "bool",
            "Keep one instance running for webhooks: no cold start, for a price.",
            False,
        ),
        "instanceMemoryMB": _parameter(
            "int", "Memory of an instance.", 2048, allowedValues=[512, 2048, 4096]
        ),
        "maximumInstanceCount": _parameter(
            "int", "The most instances that the app may grow to.", 40, minValue=1, maxValue=1000
        ),
        "deadLetterDays": _parameter(
            "int",
            "Days after which dead letters are deleted. Spooled records are never deleted, since "
            "they are not delivered yet.",
            90,
            minValue=30,
            maxValue=3650,
        ),
        "network": _text(
            "public: none of its own. fixedAddress: the app's traffic leaves by one address. "
            "private: besides, storage, vault and Azure Monitor are reached by private endpoints, "
            "and storage and vault are closed to everyone else.",
            "public",
            allowedValues=["public", "fixedAddress", "private"],
        ),
        "networkAddresses": _text(
            "Addresses of that network: 512 or more, like 10.187.0.0/23.", "10.187.0.0/23"
        ),
        "subnetId": _text(
            "With network=public: resource id of a subnet delegated to Microsoft.App/environments, "
            "for the app's outgoing traffic. Empty: none.",
            "",
        ),
        "appSettings": _parameter(
            "object",
            'Further app settings, like {"OverlapMinutes": "15"}; no secrets. Settings made in '
            "the portal stay without being named here.",
            {},
        ),
    }


def _package() -> Json:
    return {
        "packageVersion": _text("The release to install.", project.version()),
        "packageUri": _text(
            "Where the package is fetched from: an https address that needs no sign-in. Empty: "
            "the release of that version on GitHub.",
            "",
        ),
    }
