"""Write createUiDefinition.json, the form that the portal shows for the Deploy button.

A step for each connector and each sender is made of its declaration; the steps Workspace and
Options stand here. https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-uidefinition-overview
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from shared.settings.setting import Setting
from tools.content import load_parsers, load_tables
from tools.project import ROOT, names_in_words
from tools.template.arm import Json, value
from tools.template.form_elements import check_box, drop_down, password_box, text_box
from tools.template.optional_columns import OptionalColumn, optional_columns
from tools.template.sections import Section, sections

PATH = ROOT / "createUiDefinition.json"
SCHEMA = (
    "https://schema.management.azure.com/schemas/0.1.2-preview/CreateUIDefinition.MultiVm.json#"
)
_READY = "alwaysReady"


def build() -> Json:
    """The whole definition."""
    asked = [section for section in sections() if section.portal]
    return {
        "$schema": SCHEMA,
        "handler": "Microsoft.Azure.CreateUIDef",
        "version": "0.1.2-preview",
        "parameters": {
            "config": {"isWizard": False, "basics": {"description": _introduction(asked)}},
            "basics": [],
            "steps": [_workspace(), *map(_step, asked), _options()],
            "outputs": {
                "location": "[location()]",
                "workspaceName": "[steps('workspace').workspace.name]",
                "workspaceLocation": "[steps('workspace').workspace.location]",
                "namePrefix": "[steps('workspace').namePrefix]",
                "migratedTables": "[steps('workspace').migratedTables]",
                **{name: text for each in asked for name, text in _outputs(each).items()},
                **_ready_output([section for section in asked if section.webhook]),
                "sentinelContent": "[steps('options').content]",
                "enableRules": "[steps('options').enableRules]",
                "installParsers": "[steps('options').installParsers]",
                "asimCustomFunctions": "[steps('options').asimCustomFunctions]",
                **{c.parameter: f"[steps('options').{c.short}]" for c in optional_columns()},
                "instanceMemoryMB": "[steps('options').memory]",
                "deadLetterDays": "[steps('options').deadLetterDays]",
                "packageUri": "[steps('options').packageUri]",
                "subnetId": "[steps('options').subnetId]",
            },
        },
    }


def _introduction(asked: Sequence[Section]) -> str:
    return (
        f"Brings security logs of {names_in_words([each.key for each in asked])} into Microsoft "
        "Sentinel, by a function app where the product does not send them by itself. Each part is "
        "deployed only if you fill it in. Choose the resource group of the Microsoft Sentinel "
        "workspace."
    )


# ---- a connector's step


def _step(section: Section) -> Json:
    assert section.portal is not None  # noqa: S101 - build() leaves out sections without a step
    visible = value(_used(section))
    elements = [
        check_box("use", section.portal.label, section.portal.tooltip, checked=False),
        *(
            _element(_camel(field), setting, visible)
            for field, setting in section.settings.items()
            if setting.label
        ),
    ]
    if section.webhook:
        help_text = (
            "The webhook then answers without a cold start. One instance is billed all the time; "
            f"{section.key} sends again after a time-out, so few need this."
        )
        elements.append(
            check_box(_READY, "Keep one instance ready", help_text, checked=False, visible=visible)
        )
    return {"name": section.camel, "label": section.key, "elements": elements}


def _outputs(section: Section) -> Json:
    """An output for each of its settings, empty where it is not chosen, and its switch."""
    used, step = _used(section), section.camel
    made: Json = {
        setting.name: value(f"if({used}, steps('{step}').{_camel(field)}, '')")
        for field, setting in section.settings.items()
        if setting.label
    }
    return made if section.switch else {**made, section.use: value(used)}


def _ready_output(webhooks: Sequence[Section]) -> Json:
    asked = [f"and({_used(each)}, steps('{each.camel}').{_READY})" for each in webhooks]
    if not asked:
        return {}
    any_of_them = asked[0] if len(asked) == 1 else f"or({', '.join(asked)})"
    return {"alwaysReadyWebhook": value(any_of_them)}


def _used(section: Section) -> str:
    return f"steps('{section.camel}').use"


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _element(name: str, setting: Setting, visible: str) -> Json:
    if setting.secret:
        return password_box(name, setting, visible)
    return text_box(
        name,
        setting.label,
        setting.tooltip,
        placeholder=setting.example or setting.default_text or setting.default or "",
        required=setting.required,
        pattern=setting.pattern,
        mismatch=setting.mismatch,
        visible=visible,
    )


# ---- steps of every deployment


def _workspace() -> Json:
    tables = [table.name for table in load_tables()]
    elements = [
        {
            "name": "workspace",
            "type": "Microsoft.Solutions.ResourceSelector",
            "label": "Microsoft Sentinel workspace",
            "resourceType": "Microsoft.OperationalInsights/workspaces",
            "toolTip": "The Log Analytics workspace that Microsoft Sentinel runs on. It must be in "
            "the resource group chosen above (docs/deploy.md says what to do where it is not).",
            "constraints": {"required": True},
            "options": {"filter": {"subscription": "all", "location": "all"}},
            "visible": True,
        },
        text_box(
            "namePrefix",
            "Name prefix",
            "Begins every resource's name. Keep the one of an earlier deployment to change that "
            "one; choose another for a second deployment in this resource group.",
            default="seclogs",
            required=True,
            pattern="^[a-z][a-z0-9]{1,8}$",
            mismatch="2 to 9 lower-case letters and digits, a letter first",
        ),
        drop_down(
            "migratedTables",
            "Tables migrated from the Data Collector API",
            "Tables that an older connector made and that you have migrated (docs/migrate.md). "
            "Their columns, types and retention stay. A table that is not yet migrated is refused "
            "by Azure and stays as it is.",
            [{"label": name, "value": name} for name in tables],
        ),
    ]
    return {"name": "workspace", "label": "Workspace", "elements": elements}


def _options() -> Json:
    elements = [
        drop_down(
            "content",
            "Rules, parsers, workbook and pages",
            "Once: install what this deployment has not installed before, so that what you tuned "
            "stays. Always: install all of it again and overwrite your changes. Never: leave it "
            "out.",
            [
                {"label": "Once", "value": "once", "description": "what is not yet installed"},
                {"label": "Always", "value": "always", "description": "over your changes"},
                {"label": "Never", "value": "never", "description": "leave it out"},
            ],
            default="Once",
        ),
        check_box(
            "enableRules",
            "Switch the analytics rules on",
            "Otherwise they are installed switched off.",
            checked=True,
        ),
        check_box(
            "installParsers",
            "Install parser functions",
            "Untick where a solution of the Content hub already made functions named "
            f"{names_in_words([parser.alias for parser in load_parsers()], 'or')}: a workspace can "
            "have a name only once.",
            checked=True,
        ),
        check_box(
            "asimCustomFunctions",
            "Make the custom functions of ASIM's unifying parsers",
            "Only in a workspace that has none of them: they would be in the way of the ones that "
            "are there. docs/asim.md has the lines to add otherwise.",
            checked=False,
        ),
        *map(_column, optional_columns()),
        drop_down(
            "memory",
            "Memory of an instance",
            "2048 MB is what the app was measured with; 512 MB costs a quarter and suits small "
            "tenants.",
            [{"label": f"{size} MB", "value": size} for size in (512, 2048, 4096)],
            default="2048 MB",
        ),
        {
            "name": "deadLetterDays",
            "type": "Microsoft.Common.Slider",
            "label": "Days to keep dead letters and the spool",
            "min": 30,
            "max": 365,
            "defaultValue": 90,
            "showStepMarkers": False,
            "subLabel": "days",
            "toolTip": "Refused records, and records that wait for delivery in an outage, are "
            "deleted after so many days.",
            "constraints": {"required": True},
            "visible": True,
        },
        text_box(
            "subnetId",
            "Subnet for outgoing traffic",
            "Resource id of a subnet delegated to Microsoft.App/environments. Empty: none. Give it "
            "again in later deployments.",
            placeholder="/subscriptions/…/subnets/…",
            pattern="^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Network"
            "/virtualNetworks/[^/]+/subnets/[^/]+)?$",
            mismatch="A subnet's resource id, or nothing",
        ),
        text_box(
            "packageUri",
            "Package address",
            "Where the app's package is fetched from. Empty: the release that belongs to this "
            "template. Give your own where the app's host cannot reach GitHub.",
            placeholder="the release on GitHub",
            pattern=r"^(https://\S+\.zip(\?\S*)?)?$",
            mismatch="An https address of a zip file",
        ),
    ]
    return {"name": "options", "label": "Options", "elements": elements}


def _column(column: OptionalColumn) -> Json:
    tooltip = f"Without it {column.table} is made without this column."
    if column.twin:
        tooltip = (
            f"{column.table} has the column {column.twin} in any case. Whether a table can have "
            "two columns whose names differ in case only is not confirmed: try it on a test "
            "workspace first."
        )
    return check_box(column.short, f"Column {column.name}", tooltip, checked=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; with ``--check`` say whether it is what its sources make. 0 is good."""
    parser = argparse.ArgumentParser(
        prog="portal-form", description="Write createUiDefinition.json"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail on drift")
    arguments = parser.parse_args(argv)
    wanted = json.dumps(build(), indent=2, ensure_ascii=False) + "\n"
    if not arguments.check:
        PATH.write_text(wanted, encoding="utf-8")
        return 0
    if PATH.is_file() and PATH.read_text(encoding="utf-8") == wanted:
        return 0
    print(
        f"{PATH.name} is not what its sources make: run `python -m tools portal-form`",
        file=sys.stderr,
    )
    return 1
