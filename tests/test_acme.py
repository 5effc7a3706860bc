"""A made-up vendor in three files, put into a copy of the project: it is everywhere, then nowhere.

The files are in tests/acme. Nothing else in the copy is changed by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import azure_with_workspace, parameters
from tools.project import ROOT

FILES = Path(__file__).parent / "acme"
# A connector, a function, a table with its transform.
PLACES = {
    "connector.py": "shared/connectors/acme.py",
    "function.json": "AcmeTimer/function.json",
    "timer.py": "AcmeTimer/__init__.py",
    "Acme_CL.yaml": "sentinel/tables/Acme_CL.yaml",
    "Acme.kql": "sentinel/transforms/Acme.kql",
}
# Files that are made of others; the rest of the copy must stay as it is.
GENERATED = {
    "README.md",
    "azuredeploy.json",
    "azuredeploy-workspace-elsewhere.json",
    "createUiDefinition.json",
    "createUiDefinition-workspace-elsewhere.json",
    "docs/what-you-get.md",
    "local.settings.json.example",
    "shared/records/declared_streams.json",
}
RULES = "Microsoft.Insights/dataCollectionRules"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="which files are tracked is unknown"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's files, with links to its environment."""
    copy = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the git on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for name in (".venv", "node_modules"):
        (copy / name).symlink_to((ROOT / name).resolve(), target_is_directory=True)
    return copy


def add_acme(project: Path) -> None:
    """Put in the vendor's files, and let the rest be generated."""
    for name, place in PLACES.items():
        (project / place).parent.mkdir(exist_ok=True)
        shutil.copy2(FILES / name, project / place)
    run(project, "-m", "tools", "generated", "--fix")


def remove_acme(project: Path) -> None:
    """Take them out again, and let the rest be generated."""
    for place in PLACES.values():
        (project / place).unlink()
    shutil.rmtree(project / "AcmeTimer")
    run(project, "-m", "tools", "generated", "--fix")


def run(project: Path, *arguments: str) -> str:
    """Run the copy's code in an interpreter of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(project: Path) -> dict[str, bytes]:
    """Each file of the copy with its content, without caches and the environment."""
    found = {}
    for folder, folders, names in os.walk(project):
        folders[:] = [n for n in folders if n not in {".venv", "node_modules", "__pycache__"}]
        for path in (Path(folder) / name for name in names):
            found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_acme_appears_where_connectors_do_and_goes_again(project: Path) -> None:
    """What is generated follows from the three, and without them is as it was."""
    before = files(project)
    add_acme(project)
    after = files(project)
    assert {name for name in before if before[name] != after.get(name)} == GENERATED
    assert after.keys() - before.keys() == set(PLACES.values())
    check_settings(project)
    check_streams(project)
    check_template(project)
    check_form(project)
    remove_acme(project)
    assert files(project) == before


def check_settings(project: Path) -> None:
    """README and example name the settings; the token is a secret, both are required."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "| **Acme** | | |" in readme
    assert "| `AcmeUrl` * | The address of Acme. |" in readme
    assert "| `AcmeToken` ° * | Acme's `read` token. |" in readme
    assert "| `AcmeRuleId` | The rule for Acme's stream. |" in readme
    example = read_json(project / "local.settings.json.example")["Values"]
    assert {"AcmeUrl", "AcmeToken", "AcmeRuleId"} <= example.keys()


def check_streams(project: Path) -> None:
    """The app knows the stream's connector, rule, Log-Type and fields."""
    declared = read_json(project / "shared" / "records" / "declared_streams.json")
    assert declared["Custom-Acme"] == {
        "connector": "Acme",
        "rule": "AcmeRuleId",
        "logType": "Acme",
        "fields": ["AdditionalFields", "TimeGenerated", "at", "id", "what"],
    }


def check_template(project: Path) -> None:
    """The template asks for the settings, and with them makes table, rule, role and secret."""
    template = read_json(project / "azuredeploy.json")
    asked = template["parameters"]
    assert asked["AcmeUrl"] == {
        "type": "string",
        "defaultValue": "",
        "metadata": {"description": "The address of Acme. Empty: no Acme."},
    }
    assert asked["AcmeToken"] == {
        "type": "secureString",
        "defaultValue": "",
        "metadata": {"description": "Acme's read token. Empty: the one in Key Vault stays."},
    }
    # Its own settings ask for it, or a named connection of it.
    wanted = template["variables"]["useAcme"]
    assert wanted.startswith("[or(not(empty(parameters('AcmeUrl'))), contains(")
    azure = azure_with_workspace()
    given = {"AcmeUrl": "https://acme.example", "AcmeToken": "acme-secret"}
    azure.deploy(template, parameters(**given))
    assert azure.app_settings["AcmeUrl"] == "https://acme.example"
    assert azure.app_settings["AcmeToken"].endswith("secrets/AcmeToken)")
    (secret,) = azure.of_type("Microsoft.KeyVault/vaults/secrets").values()
    assert secret["properties"]["value"] == "acme-secret"
    rule = next(body for name, body in azure.of_type(RULES).items() if name.endswith("-acme"))
    (flow,) = rule["properties"]["dataFlows"]
    assert (flow["streams"], flow["outputStream"]) == (["Custom-Acme"], "Custom-Acme_CL")
    assert azure.app_settings["AcmeRuleId"].startswith("dcr-")
    roles = azure.of_type("Microsoft.Authorization/roleAssignments").values()
    assert any(body["scope"].endswith("-acme") for body in roles)
    without = azure_with_workspace()
    without.deploy(template, parameters("Jira"))
    assert not [name for name in without.resources if "acme_cl" in name or "-acme" in name]
    assert not [name for name in without.app_settings if name.startswith("Acme")]


def check_form(project: Path) -> None:
    """The portal's form has a step for it, and hands on what is typed there."""
    form = read_json(project / "createUiDefinition.json")["parameters"]
    step = next(step for step in form["steps"] if step["name"] == "acme")
    use, url, token = step["elements"]
    assert use["label"] == "Collect Acme's events"
    assert (url["label"], url["placeholder"]) == ("Acme's address", "https://acme.example")
    assert url["constraints"]["validations"] == [
        {"regex": "^https://", "message": "An address like https://acme.example"}
    ]
    assert token["type"] == "Microsoft.Common.PasswordBox"
    assert token["toolTip"].startswith("Made under Profile, Tokens. It is stored in Key Vault.")
    for name, element in (("AcmeUrl", "url"), ("AcmeToken", "token")):
        given = f"coalesce(steps('acme').{element}, '')"
        used = "coalesce(steps('acme').use, false)"
        assert form["outputs"][name] == f"[if({used}, {given}, '')]"


def test_acme_is_polled_delivered_shown_and_tested(project: Path, tmp_path: Path) -> None:
    """Its events arrive once in its table, without their secret; status and test know it."""
    add_acme(project)
    seen = json.loads(run(project, str(FILES / "run.py"), str(tmp_path)))
    assert seen["succeeded"] == [True, True]
    assert seen["rows"] == [[f"e{n}", f"act {n}"] for n in range(5)]
    assert [record["AdditionalFields"] for record in seen["sent"]] == [
        {"room": n} for n in range(5)
    ]
    assert "4711" not in json.dumps(seen["sent"])
    assert any("AcmeToken is not set" in problem for problem in seen["problems"])
    assert "AcmeToken is wrong" in seen["refused"]
    assert seen["choices"]["acme"] == "Acme"
    assert 'value="acme"' in seen["page"]
    shown = next(c for c in seen["status"]["connectors"] if c["name"] == "Acme")
    assert [stream["name"] for stream in shown["streams"]] == ["Custom-Acme"]
    assert seen["test"]["passed"] is True, seen["test"]["steps"]
    assert {step["part"] for step in seen["test"]["steps"]} == {"Acme"}
