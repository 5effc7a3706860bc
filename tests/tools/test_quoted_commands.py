"""Commands that the pages quote: each is one, and takes the options that it is quoted with."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import NoReturn

import pytest

from tools.__main__ import COMMANDS
from tools.project import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
QUOTED = re.compile(r"python3? -m tools ([^`\n|]+)`|^python3? -m tools ([^\n|]+)$", re.MULTILINE)
# What stands for a reader's own value.
PLACEHOLDERS = {"$url": "https://app.example/api/Status", "$key": "key", "…": "x"}


class Parsed(Exception):
    """The command took its options; nothing more of it runs."""


def quoted(page: Path) -> list[list[str]]:
    """The commands of a page as words."""
    found = [a or b for a, b in QUOTED.findall(page.read_text(encoding="utf-8"))]
    for sign, value in PLACEHOLDERS.items():
        found = [text.replace(sign, value) for text in found]
    return [words for text in found if (words := shlex.split(text))[0] != "<command>"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_quoted_command_takes_its_options(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is parsed by its own parser, which exits with 2 for an option that it does not know."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, arguments: list[str]) -> NoReturn:
        raise Parsed(parse(parser, arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    for name, *arguments in quoted(page):
        assert name in COMMANDS, f"{page.name}: {name}"
        module, _, function = COMMANDS[name].target.partition(":")
        if module == "tools.quality" or "--help" in arguments:
            continue
        with pytest.raises(Parsed):
            getattr(importlib.import_module(module), function)(arguments)


def test_every_day_two_command_is_on_its_page() -> None:
    """docs/operate.md quotes each command that works on a running app."""
    commands = {name for name, each in COMMANDS.items() if "commands.operate" in each.target}
    assert {name for name, *_ in quoted(ROOT / "docs" / "operate.md")} >= commands


def test_every_quoted_target_of_make_exists() -> None:
    """`make x` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, page.name
