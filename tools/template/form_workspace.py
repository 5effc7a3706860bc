"""The form's first step: the workspace, by a list of the chosen group's or from anywhere."""

from __future__ import annotations

from urllib.parse import quote

from tools.content import load_tables
from tools.project import REPOSITORY, version
from tools.template.arm import Json, value
from tools.template.form_elements import drop_down, text_box

_WORKSPACES = "steps('workspace').workspaces.value"
_CHOSEN = "steps('workspace').workspace"


def step(*, elsewhere: bool) -> Json:
    tables = [table.name for table in load_tables()]
    elements = [
        *(_any_workspace() if elsewhere else _workspace_of_group()),
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


def _workspace_of_group() -> list[Json]:
    """A choice among the workspaces of the group chosen on the first page, and no others."""
    listed = (
        "concat(subscription().id, '/resourceGroups/', resourceGroup().name, "
        "'/providers/Microsoft.OperationalInsights/workspaces?api-version=2023-09-01')"
    )
    choice = '{"label":"\', item.name, \'","value":"\', item.name, \'"}'
    choices = f"map({_WORKSPACES}, (item) => parse(concat('{choice}')))"
    chooser = drop_down(
        "workspace",
        "Microsoft Sentinel workspace",
        "The Log Analytics workspace that Microsoft Sentinel runs on, in the resource group chosen "
        "on the first page.",
        value(choices),
        default="",
    )
    elsewhere = portal_link(
        "azuredeploy-workspace-elsewhere", "createUiDefinition-workspace-elsewhere"
    )
    return [
        {
            "name": "workspaces",
            "type": "Microsoft.Solutions.ArmApiControl",
            "request": {"method": "GET", "path": value(listed)},
        },
        chooser,
        {
            "name": "elsewhere",
            "type": "Microsoft.Common.InfoBox",
            "options": {
                "icon": "Info",
                "text": "Only workspaces of the resource group chosen on the first page are "
                "listed. Is yours in another group? Click here for the form that puts the "
                "workspace's part there and the app into the group you choose.",
                "uri": elsewhere,
            },
            "visible": True,
        },
    ]


def portal_link(template: str, form: str) -> str:
    """The address that opens a template of this release, and its form, in the portal."""
    raw = f"https://raw.githubusercontent.com/{REPOSITORY}/v{version()}/"
    quoted = [quote(f"{raw}{name}.json", safe="") for name in (template, form)]
    return (
        f"https://portal.azure.com/#create/Microsoft.Template/uri/{quoted[0]}"
        f"/createUIDefinitionUri/{quoted[1]}"
    )


def _any_workspace() -> list[Json]:
    return [
        {
            "name": "workspace",
            "type": "Microsoft.Solutions.ResourceSelector",
            "label": "Microsoft Sentinel workspace",
            "resourceType": "Microsoft.OperationalInsights/workspaces",
            "toolTip": "The Log Analytics workspace that Microsoft Sentinel runs on, in any "
            "resource group. Tables, rules and parsers are made beside it; the app goes into the "
            "group chosen on the first page.",
            "constraints": {"required": True},
            "options": {"filter": {"subscription": "all", "location": "all"}},
            "visible": True,
        },
    ]


def outputs() -> Json:
    found = f"filter(coalesce({_WORKSPACES}, parse('[]')), (item) => equals(item.name, {_CHOSEN}))"
    location = f"first(map({found}, (item) => item.location))"
    return {
        "workspaceName": value(f"coalesce({_CHOSEN}, '')"),
        "workspaceLocation": value(f"coalesce({location}, location())"),
    }


def elsewhere_outputs() -> Json:
    words = f"split(coalesce({_CHOSEN}.id, '////////'), '/')"
    return {
        "workspaceName": value(f"coalesce({_CHOSEN}.name, '')"),
        "workspaceLocation": value(f"coalesce({_CHOSEN}.location, location())"),
        "workspaceSubscriptionId": value(f"first(skip({words}, 2))"),
        "workspaceResourceGroup": value(f"first(skip({words}, 4))"),
    }
