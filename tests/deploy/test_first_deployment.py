"""docs/first-deployment.md: its commands, run against the local world as far as they can be."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from local.workspace.workspace import Workspace
from tests.content.golden import NOW
from tests.deploy.azure import Azure
from tests.deploy.conftest import parameters
from tests.deploy.test_template import ALERTS
from tests.local.commands.test_start import settings_file, started
from tools import project

PAGE = (project.ROOT / "docs" / "first-deployment.md").read_text(encoding="utf-8")
DEPLOY = (project.ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
TOKEN = "a-token-of-the-first-deployment"
# Events of the page's own post, as Azure Monitor's own tables would have none.
AZURES_OWN = "DCRLogErrors"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


POSTS = [block for block in blocks("sh") if block.startswith("curl ")]


def test_a_parameter_that_is_given_exists(template: dict[str, Any]) -> None:
    """Nobody ends at an unknown parameter."""
    given = re.findall(r"--parameters ((?:[^\n`]|\\\n)*)", PAGE)
    names = {name for text in given for name in re.findall(r"\b([A-Za-z]\w*)=", text)}
    names |= set(re.findall(r"\b(\w+)=", re.findall(r'more="([^"]*)"', PAGE)[0]))
    assert {"workspaceName", "OneLoginBearerToken", "tablePlan", "network"} <= names
    assert names <= set(template["parameters"])
    outputs = set(re.findall(r"properties\.outputs\.(\w+)\.value", PAGE))
    assert outputs <= set(template["outputs"])


def test_the_app_alone_has_the_rules_that_the_page_counts(
    template: dict[str, Any], azure: Azure
) -> None:
    """Who counts them in step 2 finds as many as it says."""
    azure.deploy(template, parameters())
    titles = [body["properties"]["displayName"] for body in azure.of_type(ALERTS).values()]
    kinds = Counter(title.partition(" - ")[0] for title in titles)
    assert kinds == {"Connectors": 5, "ASIM": 2}
    said = " ".join(PAGE.split())
    assert "five analytics rules *Connectors - …* and two *ASIM - …*" in said


def test_each_open_question_has_its_command() -> None:
    """The rows of both tables have the same numbers, in order."""
    asked = re.findall(r"^\| (\d) \|", PAGE[PAGE.index("## 6.") :], re.MULTILINE)
    opened = re.findall(r"^\| (\d) \|", DEPLOY[DEPLOY.index("| | open |") :], re.MULTILINE)
    assert asked == opened == [str(number) for number in range(1, len(opened) + 1)]


def test_queries_run_in_the_local_workspace() -> None:
    """Each answers in a workspace that has the tables, filled or not."""
    workspace = Workspace(None, now=lambda: NOW)
    queries = [block for block in blocks("kusto") if AZURES_OWN not in block]
    try:
        assert len(queries) >= 3
        for query in queries:
            workspace.query(query)
    finally:
        workspace.close()


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq"
)
def test_posts_are_answered_as_the_page_says(tmp_path: Path) -> None:
    """The status has a state, a post without the token is 401, one with it is 200 and stored."""
    settings = settings_file(tmp_path, OneLoginBearerToken=TOKEN)
    with started(tmp_path, settings) as webhook:
        known = {
            "webhook": webhook,
            "status": webhook.replace("/OneLoginWebhook", "/Status"),
            "bearer": TOKEN,
        }
        answers = [
            subprocess.run(
                ["bash", "-c", block],  # noqa: S607 - the bash on PATH
                env={"PATH": "/usr/bin:/bin:/usr/local/bin", **known},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for block in POSTS
        ]
    status, refused, taken = answers
    assert re.fullmatch(r'"[a-z ]+"', status)
    assert (refused, taken) == ("401", "200")
    workspace = Workspace(tmp_path / "workspace.duckdb")
    try:
        (query, *_) = blocks("kusto")
        assert [row["user_name_s"] for row in workspace.query(query).dicts()] == ["Test Person"]
    finally:
        workspace.close()
