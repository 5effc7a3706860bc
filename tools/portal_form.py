"""Write createUiDefinition.json, the form that the portal shows for the Deploy button.

A step for each connector and each sender is made of its declaration; the steps Workspace and
Options stand here. https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-uidefinition-overview
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from shared.settings.setting import Setting
from tools.generated_files import write_or_check
from tools.project import ROOT, names_in_words
from tools.template import form_options, form_workspace
from tools.template.arm import Json, value
from tools.template.form_elements import check_box, password_box, text_box
from tools.template.optional_columns import optional_columns
from tools.template.sections import Section, sections

PATH = ROOT / "createUiDefinition.json"
ELSEWHERE = ROOT / "createUiDefinition-workspace-elsewhere.json"
SCHEMA = (
    "https://schema.management.azure.com/schemas/0.1.2-preview/CreateUIDefinition.MultiVm.json#"
)
_READY = "alwaysReady"
# What the subscription must have registered. Microsoft.App is what a subnet is delegated to.
_PROVIDERS = (
    "Microsoft.App",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.SecurityInsights",
    "Microsoft.Storage",
    "Microsoft.Web",
)


def build(*, elsewhere: bool = False) -> Json:
    """The whole definition; ``elsewhere``: for the template whose workspace is in another group."""
    asked = [section for section in sections() if section.portal]
    return {
        "$schema": SCHEMA,
        "handler": "Microsoft.Azure.CreateUIDef",
        "version": "0.1.2-preview",
        "parameters": {
            "config": {
                "isWizard": False,
                "basics": {
                    "description": _introduction(asked),
                    "subscription": {"resourceProviders": list(_PROVIDERS)},
                    # The workspace's group is never empty, which the form asks of it otherwise.
                    "resourceGroup": {"allowExisting": True},
                },
            },
            "basics": [],
            "steps": [
                form_workspace.step(elsewhere=elsewhere),
                *map(_step, asked),
                form_options.step(),
            ],
            "outputs": {
                "location": "[location()]",
                **(form_workspace.elsewhere_outputs() if elsewhere else form_workspace.outputs()),
                "namePrefix": _text("workspace", "namePrefix"),
                "migratedTables": _chosen_of_many("workspace", "migratedTables"),
                **{name: text for each in asked for name, text in _outputs(each).items()},
                **_ready_output([section for section in asked if section.webhook]),
                "sentinelContent": _or("options", "content", "'once'"),
                "enableRules": _or("options", "enableRules", "true"),
                "installParsers": _or("options", "installParsers", "true"),
                "asimCustomFunctions": _or("options", "asimCustomFunctions", "false"),
                **{c.parameter: _or("options", c.short, "false") for c in optional_columns()},
                "tablePlan": _or("options", "tablePlan", "'Analytics'"),
                "activityData": _or("options", "activityData", "'both'"),
                "instanceMemoryMB": _or("options", "memory", "2048"),
                "deadLetterDays": _or("options", "deadLetterDays", "90"),
                "packageUri": _text("options", "packageUri"),
                "network": _or("options", "network", "'public'"),
                "subnetId": _text("options", "subnetId"),
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


# ---- outputs, which must have a value whatever a person did: a hidden element has none


def _or(step: str, element: str, otherwise: str) -> str:
    return value(f"coalesce(steps('{step}').{element}, {otherwise})")


def _text(step: str, element: str) -> str:
    return _or(step, element, "''")


def _chosen_of_many(step: str, element: str) -> str:
    """An array, also where an untouched choice has no value or comes as a text."""
    written = f"string(coalesce(steps('{step}').{element}, ''))"
    return value(f"parse(if(startsWith({written}, '[\"'), {written}, '[]'))")


# ---- a connector's step


def _step(section: Section) -> Json:
    assert section.portal is not None  # noqa: S101 - build() leaves out sections without a step
    visible = value(f"steps('{section.camel}').use")
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
        setting.name: value(f"if({used}, coalesce(steps('{step}').{_camel(field)}, ''), '')")
        for field, setting in section.settings.items()
        if setting.label
    }
    return made if section.switch else {**made, section.use: value(used)}


def _ready_output(webhooks: Sequence[Section]) -> Json:
    asked = [
        f"and({_used(each)}, coalesce(steps('{each.camel}').{_READY}, false))" for each in webhooks
    ]
    if not asked:
        return {}
    any_of_them = asked[0] if len(asked) == 1 else f"or({', '.join(asked)})"
    return {"alwaysReadyWebhook": value(any_of_them)}


def _used(section: Section) -> str:
    return f"coalesce(steps('{section.camel}').use, false)"


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


def main(argv: Sequence[str]) -> int:
    """Write the files, or check them; see ``write_or_check``."""
    return write_or_check("portal-form", __doc__, _files, argv)


def _files() -> dict[Path, str]:
    forms = {PATH: build(), ELSEWHERE: build(elsewhere=True)}
    return {
        path: json.dumps(form, indent=2, ensure_ascii=False) + "\n" for path, form in forms.items()
    }
