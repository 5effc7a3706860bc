"""Makes azuredeploy.json from sentinel/ and the modules of this package.

``python -m tools template`` writes it, ``--check`` only says whether it is up to date. It deploys
into the workspace's resource group; azuredeploy-workspace-elsewhere.json is the variant whose
workspace is in another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tools import project
from tools.content import load_tables
from tools.generated_files import write_or_check
from tools.template import (
    app,
    checks,
    codeless,
    connections,
    content,
    ingestion,
    network,
    outputs,
    parameters,
    private_endpoints,
    settings,
    tables,
    transforms,
)
from tools.template.arm import OWN_GROUP, SCHEMA, Group, Json, any_of, parameter, value, variable
from tools.template.sections import Section, sections

TEMPLATE = project.ROOT / "azuredeploy.json"
ELSEWHERE = project.ROOT / "azuredeploy-workspace-elsewhere.json"

_ELSEWHERE = Group(parameter("workspaceSubscriptionId"), parameter("workspaceResourceGroup"))


def build(*, elsewhere: bool = False) -> Json:
    """The whole template; ``elsewhere`` puts the workspace's part into its own group."""
    names = project.names_in_words([each.key for each in sections() if each.portal])
    declared, group = load_tables(), _ELSEWHERE if elsewhere else OWN_GROUP
    return {
        "$schema": SCHEMA,
        "contentVersion": f"{project.version()}.0",
        "metadata": {
            "description": f"Security logs of {names} in Microsoft Sentinel. "
            "Generated from sentinel/ and tools/template/ by `make template`.",
        },
        "parameters": parameters.parameters(
            (table.name for table in declared), elsewhere=elsewhere
        ),
        "variables": {
            **_names(group),
            **connections.variables(),
            **content.variables(),
            **network.variables(),
            **tables.variables(declared),
            **transforms.variables(declared),
        },
        "resources": [
            checks.resource(declared, group),
            *checks.first(
                [
                    network.resource(),
                    private_endpoints.resource(),
                    *app.resources(),
                    tables.resource(declared, group),
                    *ingestion.resources(declared, group),
                    *settings.resources(),
                    *content.resources(group),
                ]
            ),
        ],
        "outputs": outputs.outputs(),
    }


def _names(group: Group) -> Json:
    prefix, unique = variable("prefix"), variable("unique")
    # A vault's name takes no two hyphens in a row, and none at its end.
    written = "lambda('word', not(empty(lambdaVariables('word'))))"
    words = f"filter(split({parameter('namePrefix')}, '-'), {written})"
    return {
        "prefix": value(f"join({words}, '-')"),
        "unique": value(f"uniqueString(resourceGroup().id, {prefix})"),
        "identity": value(f"concat({prefix}, '-', {unique}, '-identity')"),
        "storage": value(f"toLower(concat(replace({prefix}, '-', ''), {unique}))"),
        "vault": value(f"concat({prefix}, '-', {unique})"),
        "vaultUri": value(
            "concat('https://', variables('vault'), environment().suffixes.keyvaultDns, '/')"
        ),
        "insights": value(f"concat({prefix}, '-', {unique}, '-insights')"),
        "plan": value(f"concat({prefix}, '-', {unique}, '-plan')"),
        "app": value(f"concat({prefix}, '-', {unique})"),
        "endpoint": value(f"concat({prefix}, '-', {unique})"),
        "package": value(
            "if(empty(parameters('packageUri')), "
            f"concat('https://github.com/{project.REPOSITORY}/releases/download/v', "
            "parameters('packageVersion'), '/released-package.zip'), parameters('packageUri'))"
        ),
        "workspaceId": value(
            group.resource_id(
                "Microsoft.OperationalInsights/workspaces", parameter("workspaceName")
            )
        ),
        **{
            section.use: value(any_of(_wanted(section)))
            for section in sections()
            if section.condition
        },
    }


def _wanted(section: Section) -> list[str]:
    """What asks for a section: its settings, and for a connector a named connection too."""
    return [
        section.without_name,
        *([connections.named(section)] if section.has_connections else []),
    ]


def render(template: Json) -> str:
    """A template as it is committed: indented, and the same for the same source."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def main(argv: Sequence[str]) -> int:
    """Write every template, or check them; see ``write_or_check``."""
    return write_or_check("template", __doc__, _files, argv)


def _files() -> dict[Path, str]:
    templates = {TEMPLATE: build(), ELSEWHERE: build(elsewhere=True), **dict(codeless.templates())}
    return {path: render(template) for path, template in templates.items()}
