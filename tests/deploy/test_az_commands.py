"""The az commands that the pages quote: known ones, with their options, in shell that parses.

https://learn.microsoft.com/cli/azure/reference-index
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.project import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
GROUP, NAME = {"-g", "--resource-group"}, {"-n", "--name"}
WORKSPACE = {"--workspace-name"}
# Of every command.
GLOBAL = {"-o", "--output", "--query"}
# What each command must be given (one spelling of each set), and what else it takes.
COMMANDS: dict[str, tuple[list[set[str]], set[str]]] = {
    "ad signed-in-user show": ([], set()),
    "account show": ([], set()),
    "deployment group create": (
        [GROUP, {"--template-uri", "--template-file", "-u", "-f"}],
        {*NAME, "--parameters", "-p"},
    ),
    "deployment group list": ([GROUP], set()),
    "deployment group show": ([GROUP, NAME], set()),
    "deployment group what-if": ([], set()),  # named in a sentence alone
    "deployment operation group list": ([GROUP, NAME], set()),
    "functionapp config appsettings list": ([], GROUP | NAME),  # once named alone
    "functionapp config appsettings set": ([GROUP, NAME, {"--settings"}], set()),
    "functionapp deployment source config-zip": ([GROUP, NAME, {"--src"}], set()),
    "functionapp function keys list": ([GROUP, NAME, {"--function-name"}], set()),
    "functionapp function list": ([GROUP, NAME], set()),
    "functionapp function show": ([GROUP, NAME, {"--function-name"}], set()),
    "functionapp list-flexconsumption-locations": ([], set()),
    "functionapp show": ([GROUP, NAME], set()),
    "functionapp start": ([GROUP, NAME], set()),
    "functionapp stop": ([GROUP, NAME], set()),
    "group create": ([{"-l", "--location"}, NAME], set()),
    "group delete": ([NAME], {"--yes", "-y"}),
    "group show": ([NAME], set()),
    "identity delete": ([{"--ids"}], set()),
    "identity list": ([], GROUP),
    "keyvault list-deleted": ([], set()),
    "keyvault network-rule list": ([NAME], set()),
    "keyvault purge": ([], NAME),  # xargs gives the name
    "keyvault secret set": ([{"--vault-name"}, NAME, {"--value"}], set()),
    "keyvault show": ([NAME], set()),
    "login": ([], set()),
    "monitor log-analytics workspace create": ([GROUP, NAME], {"-l", "--location"}),
    "monitor log-analytics workspace saved-search delete": (
        [GROUP, WORKSPACE, NAME],
        {"--yes", "-y"},
    ),
    "monitor log-analytics workspace saved-search list": ([GROUP, WORKSPACE], set()),
    "monitor log-analytics workspace show": ([GROUP, NAME], set()),
    "monitor log-analytics workspace table migrate": ([GROUP, WORKSPACE, NAME], set()),
    "monitor log-analytics workspace table show": ([GROUP, WORKSPACE, NAME], set()),
    "network private-dns zone list": ([], GROUP),
    "provider register": ([{"--namespace"}], {"--wait"}),
    "provider show": ([{"-n", "--namespace"}], set()),
    "resource delete": ([{"--ids"}], set()),
    "resource list": ([], GROUP),
    "rest": ([{"--url"}], {"--method", "--body"}),
    "role assignment list": ([], {"--scope"}),
    "storage entity insert": (
        [{"--account-name"}, {"--table-name"}, {"--entity"}],
        {"--auth-mode"},
    ),
    "tag update": ([{"--resource-id"}, {"--operation"}, {"--tags"}], set()),
}
# A reader's own value.
PLACEHOLDER = re.compile(r"<[^<>\n]*>")
ENDS = {";", "|", "&&", "||", "(", ")", "{", "}", "&"}


def code(page: Path) -> list[str]:
    """The shell blocks of a page, and the az commands between backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = [textwrap.dedent(block) for block in shell_blocks(text)]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return blocks + [" ".join(span.split()) for span in re.findall(r"`(az [^`]+)`", prose)]


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.DOTALL)


def commands(shell: str) -> Iterator[list[str]]:
    """Each az command as words, those inside `$(…)` first."""
    shell = re.sub(r"(^|\s)#.*$", r"\1", shell, flags=re.MULTILINE)
    while (start := shell.rfind("$(")) >= 0:
        depth, end = 1, start + 2
        while depth:
            depth += {"(": 1, ")": -1}.get(shell[end], 0)
            end += 1
        yield from commands(shell[start + 2 : end - 1])
        shell = f"{shell[:start]}VALUE{shell[end:]}"
    lines = re.sub(r"\\\n", " ", shell)
    lines = PLACEHOLDER.sub("VALUE", lines)
    lexer = shlex.shlex(lines.replace("\n", " ; "), posix=True, punctuation_chars=";|&(){}")
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token not in ENDS:
            words.append(token)
            continue
        if "az" in words:
            yield words[words.index("az") + 1 :]
        words = []


def split(words: list[str]) -> tuple[str, set[str]]:
    """The command's name, and the options that it is given."""
    name = next(
        (known for n in range(len(words), 0, -1) if (known := " ".join(words[:n])) in COMMANDS), ""
    )
    return name, {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_az_commands_have_the_options_that_they_take(page: Path) -> None:
    """A reader who pastes one is not told of an unknown command, or of an option that lacks."""
    for words in (found for text in code(page) for found in commands(text)):
        name, given = split(words)
        line = f"{page.name}: az {' '.join(words)}"
        assert name, line
        needed, more = COMMANDS[name]
        assert all(given & each for each in needed), line
        assert given <= set().union(*needed, more, GLOBAL), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_parameters_and_outputs_are_those_of_the_template(
    page: Path, template: dict[str, Any]
) -> None:
    """Nobody ends at an unknown parameter, or reads an output that is not there."""
    text = page.read_text(encoding="utf-8")
    if "sentinel/codeless/jira.json" in text:
        template = json.loads((ROOT / "sentinel" / "codeless" / "jira.json").read_text("utf-8"))
    given = set()
    for words in (found for shell in code(page) for found in commands(shell)):
        if words[:3] == ["deployment", "group", "create"]:
            given |= {found[1] for word in words if (found := re.match(r"([A-Za-z]\w*)=", word))}
    assert given <= set(template["parameters"])
    outputs = set(re.findall(r"properties\.outputs\.(\w+)", text))
    assert outputs <= set(template.get("outputs", {}))


def test_the_commands_are_found() -> None:
    """Nested in others, over several lines, and between backticks."""
    text = 'x=$(az group show -n $(az login) --query "[?a(b)]" -o tsv)\naz rest \\\n --url $x | cat'
    found = [" ".join(words) for words in commands(text)]
    assert found == ["login", "group show -n VALUE --query [?a(b)] -o tsv", "rest --url $x"]
    assert sum(1 for page in PAGES for text in code(page) for _ in commands(text)) > 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_shell_blocks_are_read_by_a_shell(page: Path) -> None:
    """No quote is open, no word is out of place."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    for block in shell_blocks(PLACEHOLDER.sub("VALUE", page.read_text(encoding="utf-8"))):
        checked = subprocess.run(
            [shell, "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, (block, checked.stderr)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_microsofts_function_is_deleted_and_ours_is_not(tmp_path: Path) -> None:
    """The commands of migrate.md, run with an az that notes what it is asked."""
    text = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
    (block,) = [each for each in shell_blocks(text) if "saved-search delete" in each]
    az = tmp_path / "az"
    az.write_text(
        "#!/bin/bash\n"
        'printf "%s\\n" "$*" >> "$0.log"\n'
        'case "$*" in *"saved-search list"*) printf "%s\\n" "one-id" "another id";; esac\n',
        encoding="utf-8",
    )
    az.chmod(0o755)
    subprocess.run(
        ["bash", "-eu", "-c", textwrap.dedent(block)],  # noqa: S607 - the bash on PATH
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "group": "g", "workspace": "w"},
        check=True,
    )
    listed, *deleted = (tmp_path / "az.log").read_text(encoding="utf-8").splitlines()
    saved = "monitor log-analytics workspace saved-search"
    assert deleted == [
        f"{saved} delete -g g --workspace-name w --name {name} --yes"
        for name in ("one-id", "another id")
    ]
    mark = re.search(r"functionAlias=='SentinelOne' && contains\(query, '(\w+)'\)", listed)
    assert mark
    ours = (ROOT / "sentinel" / "parsers" / "SentinelOne.kql").read_text(encoding="utf-8")
    assert mark[1] not in ours
