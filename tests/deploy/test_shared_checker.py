"""The template against Azure's own types, by the checker that stands beside the project."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tools import project

SHARED = project.ROOT.parent / "shared"
CHECKER = SHARED / "tools" / "check_template.py"
# What the checker cannot know, or says of a choice that is ours.
EXPECTED = (
    "no schema at hand for Microsoft.Resources/tags",
    # tests/deploy/test_network.py holds these against the published types.
    "no schema at hand for Microsoft.Network/",
    "no schema at hand for Microsoft.Insights/privateLinkScopes",
    "`data_userName_s` differs from another column in case only",
    "`@meta` is no plain column name",
    # https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure: -1 is the
    # workspace's default, which the published type does not say.
    "-1 is outside 4…",
    "outputs.connectionsWithSecretSettings: an output named like a secret",
)
pytestmark = pytest.mark.skipif(
    not CHECKER.is_file() or not (SHARED / "arm-schemas").is_dir(),
    reason="../shared has no checker or no types",
)


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    """The checker, as a module."""
    spec = importlib.util.spec_from_file_location("check_template", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_template"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["azuredeploy.json", "sentinel/codeless/jira.json"])
def test_every_resource_is_legal_for_its_type_and_version(checker: ModuleType, name: str) -> None:
    """No finding but those that are known and explained."""
    path = project.ROOT / name
    beside = path.with_name("createUiDefinition.json")
    ui = beside.read_text(encoding="utf-8") if beside.is_file() else None
    found = checker.Template(path.read_text(encoding="utf-8"), SHARED / "arm-schemas", ui).run()
    surprising = [
        str(finding) for finding in found if not any(known in str(finding) for known in EXPECTED)
    ]
    assert surprising == []


def test_settings_hold_before_they_are_merged(checker: ModuleType) -> None:
    """The checker sees through to the settings once what the app has is left out of them."""
    path: Path = project.ROOT / "azuredeploy.json"
    text = path.read_text(encoding="utf-8").replace(
        "union(parameters('existing'), parameters('given'), parameters('ours'))",
        "parameters('ours')",
    )
    template = checker.Template(text, SHARED / "arm-schemas")
    found = [finding for finding in template.run() if "/config" in finding.path.lower()]
    assert [str(finding) for finding in found if finding.severity == "error"] == []
    seen = {
        name
        for resource in template.resources
        if resource.type == "Microsoft.Web/sites/config"
        for name, _, _ in template.settings(resource)
    }
    assert {"LogsIngestionEndpoint", "SentinelOneAPIToken", "JiraAuditRuleId"} <= seen
