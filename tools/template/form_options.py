"""The form's last step: what has a default that suits most."""

from __future__ import annotations

from tools.content import load_parsers
from tools.project import names_in_words
from tools.template.arm import Json
from tools.template.form_elements import check_box, drop_down, text_box
from tools.template.optional_columns import OptionalColumn, optional_columns


def step() -> Json:
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
            "tablePlan",
            "Plan of new tables",
            "Rules, parsers and the workbook read Analytics tables only. Basic and Auxiliary cost "
            "less to store; a table that exists keeps its plan.",
            [{"label": plan, "value": plan} for plan in ("Analytics", "Basic", "Auxiliary")],
            default="Analytics",
        ),
        drop_down(
            "activityData",
            "Details of activities",
            "As columns, as JSON in DataFields_s, or both, which makes activities nearly twice as "
            "large. Rules that a choice would blind are left out.",
            [
                {"label": "Both", "value": "both"},
                {"label": "Columns", "value": "columns"},
                {"label": "JSON", "value": "json"},
            ],
            default="Both",
        ),
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
            "label": "Days to keep dead letters",
            "min": 30,
            "max": 365,
            "defaultValue": 90,
            "showStepMarkers": False,
            "subLabel": "days",
            "toolTip": "Records that Azure Monitor refused are deleted after so many days.",
            "constraints": {"required": True},
            "visible": True,
        },
        drop_down(
            "network",
            "Network",
            "Fixed address: the app's traffic leaves by one address, for vendors that admit "
            "addresses. Private: storage, Key Vault and Azure Monitor are reached by private "
            "endpoints besides, and storage and Key Vault are closed to everyone else.",
            [
                {"label": "Public", "value": "public"},
                {"label": "Fixed address", "value": "fixedAddress"},
                {"label": "Private", "value": "private"},
            ],
            default="Public",
        ),
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
