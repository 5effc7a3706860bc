"""Print the `az` commands that set up the connections of a CSV file.

The first row names the settings, in a column `name` the connections. Addresses become app settings,
secrets secrets of the vault: their values are read from the environment when the commands run, and
stand neither in the file nor in what is printed.

    name,AcmeUrl,AcmeToken
    emea,https://emea.example.net,EMEA_TOKEN

A secret's column has the name of the environment variable that holds it. A connection that has
nothing but secrets gets a Key Vault reference as its setting, since names are found there alone.
"""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shared.connections.registry import connectors
from shared.settings.app import settings_of_destinations
from shared.settings.key_vault import REFERENCE
from shared.settings.names import is_name
from shared.settings.setting import Setting

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class FileInvalid(Exception):
    """The file cannot be used; the message names the line and the column."""


def main(arguments: list[str]) -> int:
    """Print the commands; return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools connections", description=__doc__)
    parser.add_argument("file", type=Path, help="the CSV file")
    parser.add_argument("-g", "--group", required=True, help="the app's resource group")
    parser.add_argument("-n", "--app", required=True, help="the function app's name")
    parser.add_argument("--vault", required=True, help="the key vault's name")
    chosen = parser.parse_args(arguments)
    try:
        with chosen.file.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        for command in commands(rows, chosen.group, chosen.app, chosen.vault):
            print(command)
    except (OSError, FileInvalid) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def commands(rows: Sequence[Mapping[str, str]], group: str, app: str, vault: str) -> Iterator[str]:
    """The commands for each row, in order; raises FileInvalid before the first one."""
    known = {
        each.name: each for connector in connectors() for each in connector.declared().values()
    }
    known |= {each.name: each for each in settings_of_destinations()}
    made = [_commands_of(row, line, known, vault) for line, row in enumerate(rows, start=2)]
    names = [(row.get("name") or "").strip().lower() for row in rows]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise FileInvalid(f"Line {number + 2}: the name {name} stands twice")
    for settings, secrets in made:
        for name, variable in secrets:
            yield (
                f"az keyvault secret set --vault-name {shlex.quote(vault)} -n {name} "
                f'--value "${variable}" --output none'
            )
        given = " ".join(shlex.quote(f"{name}={value}") for name, value in settings)
        yield (
            f"az functionapp config appsettings set -g {shlex.quote(group)} -n {shlex.quote(app)} "
            f"--output none --settings {given}"
        )


def _commands_of(
    row: Mapping[str, str], line: int, known: Mapping[str, Setting], vault: str
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """A row's app settings, and its secrets with their environment variables."""
    connection = (row.get("name") or "").strip()
    if not is_name(connection):
        raise FileInvalid(f"Line {line}: name must be 1 to 32 letters and digits")
    settings: list[tuple[str, str]] = []
    secrets: list[tuple[str, str]] = []
    references: list[tuple[str, str]] = []
    for column, text in row.items():
        if column == "name" or not (text or "").strip():
            continue
        if column not in known:
            raise FileInvalid(f"Line {line}: {column} is no setting of a connection")
        setting, value = known[column].named(connection), text.strip()
        if not setting.secret:
            _check(setting, value, line)
            settings.append((setting.name, value))
        elif _VARIABLE.fullmatch(value):
            secrets.append((setting.vault_name, value))
            reference = f"VaultName={vault};SecretName={setting.vault_name}"
            references.append((setting.name, f"{REFERENCE}{reference})"))
        else:
            raise FileInvalid(
                f"Line {line}: {column} must name an environment variable, not hold the secret"
            )
    if not settings and not references:
        raise FileInvalid(f"Line {line}: {connection} has no setting")
    return settings or references[:1], secrets


def _check(setting: Setting, value: str, line: int) -> None:
    if setting.check is None:
        return
    try:
        setting.check(value)
    except ValueError as error:
        raise FileInvalid(f"Line {line}: {setting.name} {error}") from None
