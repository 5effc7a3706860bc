"""Makes azuredeploy.json from sentinel/ and the modules of this package.

``python -m tools template`` writes it, ``--check`` only says whether it is up to date. It deploys
into the workspace's resource group; ``--workspace-elsewhere PATH`` writes the variant whose
workspace is in another one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tools import project
from tools.content import load_tables
from tools.template import app, codeless, content, ingestion, outputs, parameters, settings
from tools.template.arm import OWN_GROUP, SCHEMA, Group, Json, parameter, value
from tools.template.sections import sections

TEMPLATE = project.ROOT / "azuredeploy.json"

_ELSEWHERE = Group(parameter("workspaceSubscriptionId"), parameter("workspaceResourceGroup"))


def build(*, elsewhere: bool = False) -> Json:
    """The whole template; ``elsewhere`` puts the workspace's part into its own group."""
    names = project.names_in_words([each.key for each in sections() if each.portal])
    tables, group = load_tables(), _ELSEWHERE if elsewhere else OWN_GROUP
    return {
        "$schema": SCHEMA,
        "contentVersion": f"{project.version()}.0",
        "metadata": {
            "description": f"Security logs of {names} in Microsoft Sentinel. "
            "Generated from sentinel/ and tools/template/ by `make template`.",
        },
        "parameters": parameters.parameters((table.name for table in tables), elsewhere=elsewhere),
        "variables": {**_names(group), **content.variables(), **ingestion.variables(tables)},
        "resources": [
            *app.resources(),
            *ingestion.resources(tables, group),
            *settings.resources(),
            *content.resources(group),
        ],
        "outputs": outputs.outputs(),
    }


def _names(group: Group) -> Json:
    prefix, unique = "parameters('namePrefix')", "variables('unique')"
    return {
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
            section.use: value(f"not(empty({parameter(section.switch.name)}))")
            for section in sections()
            if section.switch
        },
    }


def render(template: Json) -> str:
    """A template as it is committed: indented, and the same for the same source."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def main(argv: Sequence[str]) -> int:
    """``template [--check]``: 1 if a committed file is not what its source makes."""
    parser = argparse.ArgumentParser(prog="python -m tools template", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on drift")
    parser.add_argument("--workspace-elsewhere", type=Path, metavar="PATH", help="write a variant")
    options = parser.parse_args(argv)
    if options.workspace_elsewhere:
        _up_to_date(options.workspace_elsewhere, render(build(elsewhere=True)), check=False)
        return 0
    stale = [
        path
        for path, template in ((TEMPLATE, build()), *codeless.templates())
        if not _up_to_date(path, render(template), check=options.check)
    ]
    for path in stale:
        print(f"{path.relative_to(project.ROOT)} is not what its source makes: make template")
    return 1 if stale else 0


def _up_to_date(path: Path, text: str, *, check: bool) -> bool:
    if check:
        return path.is_file() and path.read_text(encoding="utf-8") == text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
