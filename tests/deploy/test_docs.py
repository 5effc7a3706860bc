"""What the pages on deployment promise, held against the template and the code."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from azure.data.tables import TableServiceClient

from shared.connections.registry import all_settings
from shared.connectors.sentinelone import LISTS
from shared.state.checkpoint import TABLE, StreamCheckpoint, partition_key
from tools import project
from tools.content import load_tables
from tools.cost import Numbers, month


def page(name: str) -> str:
    return (project.ROOT / "docs" / name).read_text(encoding="utf-8")


def test_deploy_buttons_open_this_release_of_this_repository() -> None:
    """Both clouds' buttons load the template and its form, of one version."""
    raw = f"https://raw.githubusercontent.com/{project.REPOSITORY}/v{project.version()}/"
    pages = (page("deploy.md"), (project.ROOT / "README.md").read_text(encoding="utf-8"))
    for text, portal in itertools.product(pages, ("portal.azure.com", "portal.azure.us")):
        match = re.search(
            rf"https://{portal}/#create/Microsoft.Template/uri/(\S+)/createUIDefinitionUri/(\S+?)\)",
            text,
        )
        assert match is not None, portal
        assert unquote(match[1]) == f"{raw}azuredeploy.json"
        assert unquote(match[2]) == f"{raw}createUiDefinition.json"


def test_buttons_for_a_workspace_elsewhere_open_its_template_and_form() -> None:
    """Both clouds have one beside the button for a workspace in the same group."""
    raw = f"https://raw.githubusercontent.com/{project.REPOSITORY}/v{project.version()}/"
    links = re.findall(r"/uri/(\S+)/createUIDefinitionUri/(\S+?)\)", page("deploy.md"))
    pairs = [(unquote(template), unquote(form)) for template, form in links]
    elsewhere = (
        f"{raw}azuredeploy-workspace-elsewhere.json",
        f"{raw}createUiDefinition-workspace-elsewhere.json",
    )
    assert pairs.count(elsewhere) == 2
    for address in elsewhere:
        assert (project.ROOT / address.removeprefix(raw)).is_file()


def test_parameters_and_outputs_that_are_named_exist(template: dict[str, Any]) -> None:
    """A reader who types a parameter from the pages is not told that there is none."""
    text = page("deploy.md")
    rows = text[text.index("| parameter | meaning |") : text.index("**The workspace is in another")]
    named = {
        name
        for row in rows.splitlines()[2:]
        if row.startswith("|")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named
    assert named <= set(template["parameters"])
    for output in ("tenantId", "logsIngestionEndpoint", "trapEyeRuleId", "signInAddress"):
        assert f"`{output}`" in page("trapeye.md")
        assert output in template["outputs"]
    assert "properties.outputs.storageAccountName" in page("migrate.md")
    assert "storageAccountName" in template["outputs"]


def test_streams_to_paste_into_trapeye_are_those_of_its_rule() -> None:
    """The two stream names are declared."""
    named = set(re.findall(r"`(Custom-TrapEye\w+)`", page("trapeye.md")))
    declared = {
        name for table in load_tables() for name in table.streams if name.startswith("Custom-TrapE")
    }
    assert named == declared


def test_idle_quantities_follow_from_schedule_and_streams() -> None:
    """The table of cost is computed from what the app really does."""
    text = page("deploy.md")
    timers = [
        path
        for path in project.ROOT.glob("*/function.json")
        if '"0 */5 * * * *"' in path.read_text(encoding="utf-8")
    ]
    executions = len(timers) * 12 * 730
    each_run = sum(not stream.inventory for stream, _ in LISTS.values())
    # Unified alerts, policies and sites are read otherwise than by a list.
    rows = re.search(r"\((\d+) streams . 12 \+ (\d+) hourly \+ Jira 12\) . \(1 read", text)
    assert rows is not None
    polled, hourly = int(rows[1]), int(rows[2])
    assert each_run <= polled
    assert polled + hourly == 10
    assert f"| {executions:,} |" in text
    assert f"{executions * 2:,} ({executions // 2:,} with 512 MB)" in text
    assert f"| {(polled * 12 + hourly + 12) * 2 * 730:,} |" in text
    assert f"{polled * 12 + hourly + 12} rows an hour" in text


def test_settings_that_are_named_exist() -> None:
    """No page sends a person to look for a setting that there is not."""
    known = {setting.name for setting in all_settings()}
    for name in ("OverlapMinutes", "InitialLookbackHours", "WorkspaceID", "WorkspaceKey"):
        assert f"`{name}`" in page("migrate.md")
        assert name in known


@pytest.mark.parametrize(
    ("connector", "address", "stream"),
    [
        ("SentinelOne", "https://acme.sentinelone.net", "Custom-SentinelOneThreats"),
        ("Jira", "https://acme.atlassian.net", "Custom-JiraAudit"),
    ],
)
def test_a_place_written_down_by_hand_is_where_the_stream_goes_on(
    storage: str, connector: str, address: str, stream: str
) -> None:
    """The row that migrate.md has a person insert is a checkpoint that the app continues from."""
    line = re.search(r'--entity "(.+)', page("migrate.md"))
    assert line is not None
    assert line[0].split() == [
        *("--entity", '"PartitionKey=$1:$2"', '"RowKey=$3"', "format=1"),
        *("format@odata.type=Edm.Int32", '"watermark=$4"'),
    ]
    host = address.removeprefix("https://")
    assert f"place {connector} {host} " in page("migrate.md")
    assert stream in {s for t in load_tables() for s in t.streams}
    entity = {
        "PartitionKey": f"{connector}:{host}",
        "RowKey": stream,
        "format": 1,
        "watermark": "2026-11-21T10:20:00Z",
    }
    with TableServiceClient.from_connection_string(storage) as service:
        table = service.create_table(TABLE)
        table.create_entity(entity)
        checkpoint = StreamCheckpoint(table, partition_key(connector, address), stream, "run")
        checkpoint.load()
    began = datetime(2026, 11, 21, 10, 20, tzinfo=UTC)
    assert checkpoint.progress.watermark == began
    overlap = next(setting for setting in all_settings() if setting.name == "OverlapMinutes")
    assert timedelta(minutes=float(overlap.default or 0)) == timedelta(minutes=10)


def test_the_codeless_template_is_described_by_its_own_parameters() -> None:
    """The command in jira-codeless.md gives what the template asks for."""
    text = (project.ROOT / "sentinel" / "codeless" / "jira.json").read_text(encoding="utf-8")
    needed = {
        name
        for name, given in json.loads(text)["parameters"].items()
        if "defaultValue" not in given
    }
    assert needed == set(re.findall(r"(\w+)=", page("jira-codeless.md")))


def test_the_cost_of_a_large_inventory_is_computed() -> None:
    """The page's quantities for 200,000 agents are those of `python -m tools cost`."""

    def agents(**numbers: float) -> str:
        lines = month(Numbers(agents=200_000, **numbers))  # type: ignore[arg-type]
        (amount,) = [line.amount for line in lines if "agents that report" in line.what]
        return f"| {float(amount.removesuffix(' GB')):.0f} GB |"

    text = page("deploy.md")
    table = text[text.index("**Inventory of 200,000 agents**") :]
    assert agents() in table
    assert agents(changed_agents_a_look=1.0) in table
    assert agents(changed_agents_a_look=1.0, inventory_minutes=1440) in table


def test_what_the_page_says_of_sampling_is_so() -> None:
    """host.json leaves requests, exceptions and traces out of sampling."""
    host = json.loads((project.ROOT / "host.json").read_text(encoding="utf-8"))
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert set(sampling["excludedTypes"].split(";")) == {"Request", "Exception", "Trace"}
    assert "excludes requests, exceptions and traces" in page("deploy.md")
