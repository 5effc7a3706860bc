"""`python3 -m tools <command>`: the one way in, on every platform, with nothing installed.

The first command makes the environment (tools/environment.py) and goes on inside it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from tools import interrupts
from tools.project import ROOT


@dataclass(frozen=True, slots=True)
class Command:
    """A command's `module:function`, called with the arguments.

    ``node``: whether it needs Node; ``parses``: whether it has options, and lists them by --help.
    """

    target: str
    help: str
    node: bool = False
    parses: bool = True


COMMANDS = {
    "demo": Command(
        "local.demo.demo:main", "three vendors' events into local tables, shown", node=True
    ),
    "start": Command(
        "local.commands.start:main", "run the app here, on its real schedules", node=True
    ),
    "send": Command(
        "local.commands.send:main", "post a file to the local webhook, as its vendor would"
    ),
    "query": Command("local.commands.query:main", "ask the local workspace in KQL"),
    "rules": Command("local.demo.rules:main", "run every rule over the demo's week"),
    "check": Command(
        "local.commands.check:main", "test the connections in local.settings.json", node=True
    ),
    "reset-stream": Command(
        "local.commands.operate:reset_stream", "have a stream of a running app begin anew"
    ),
    "replay": Command(
        "local.commands.operate:replay", "have a stream read and sent again since a time"
    ),
    "fetch": Command(
        "local.commands.operate:fetch", "read an hour that posts did not bring from the API"
    ),
    "pause": Command("local.commands.operate:pause", "begin no poll of a connection"),
    "resume": Command("local.commands.operate:resume", "poll a paused connection again"),
    "dead-letters": Command(
        "local.commands.operate:dead_letters", "list, show, acknowledge, discard or send them"
    ),
    "test": Command("tools.quality:test", "run the tests", node=True),
    "lint": Command("tools.quality:lint", "check style and format; --fix mends", parses=False),
    "types": Command("tools.quality:types", "check types"),
    "generated": Command(
        "tools.quality:generated", "check generated files; --fix mends", parses=False
    ),
    "ci": Command(
        "tools.quality:ci",
        "everything that must hold before a change lands",
        node=True,
        parses=False,
    ),
    "bench": Command("bench.__main__:main", "measure speed, memory and cost", node=True),
    "workbook": Command("tools.workbook:main", "write the workbook from its pages"),
    "workbook-pictures": Command(
        "local.demo.pictures:main", "picture each page of the workbook with the demo's data"
    ),
    "template": Command("tools.template:main", "write azuredeploy.json from sentinel/"),
    "billed": Command(
        "local.demo.billed:main", "what a week is billed, by what you choose to store", node=True
    ),
    "check-filter": Command(
        "tools.check_filter:main", "check a predicate for the parameter filters", node=True
    ),
    "connections": Command(
        "tools.connections:main", "print the az commands for the connections of a CSV file"
    ),
    "portal-form": Command("tools.portal_form:main", "write the form of the Deploy button"),
    "declared-streams": Command(
        "tools.declared_streams:main", "write what sentinel/tables declares of each stream"
    ),
    "settings-table": Command("tools.settings_table:main", "write the table of app settings"),
    "what-you-get": Command(
        "tools.what_you_get:main", "write the page of all content in the workspace"
    ),
    "cost": Command("tools.cost:main", "compute a month's cost from volumes and prices"),
    "polls-cost": Command("tools.polls_cost:main", "compute what polling many consoles costs"),
    "cost-example": Command("tools.cost:example", "write the examples of a month's cost"),
    "repository": Command(
        "tools.repository:main", "name the repository in buttons, pages and template"
    ),
    "package": Command("tools.package:main", "build released-package.zip"),
    "lock": Command("tools.quality:lock", "renew the locks from the requirements", parses=False),
    "environment": Command(
        "tools.quality:prepare", "make the environment and stop", node=True, parses=False
    ),
}

HELP = frozenset({"--help", "-h"})


def main(arguments: list[str]) -> int:
    """Run a command; return its exit status."""
    interrupts.install()  # before longer imports: Ctrl+C ends without a traceback at any moment
    try:
        with interrupts.raised_as_interrupt():
            return _main(arguments)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return interrupts.STATUS
    except BrokenPipeError:  # the reader, as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in HELP | {"help"}:
        print(usage())
        return 0
    command = COMMANDS.get(arguments[0])
    if command is None:
        print(f"There is no command {arguments[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    from tools import environment

    os.chdir(ROOT)
    helps = not HELP.isdisjoint(arguments[1:])
    if helps and not (command.parses and environment.python_is_ready(ROOT / ".venv")):
        print(_help_without_environment(arguments[0], command))
        return 0
    try:
        interpreter = environment.make(node=command.node and not helps)
    except environment.EnvironmentFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    if not environment.inside(ROOT / ".venv"):
        return _rerun_with(str(interpreter), arguments)
    import importlib

    module, _, function = command.target.partition(":")
    status: int | None = getattr(importlib.import_module(module), function)(arguments[1:])
    sys.stdout.flush()  # a closed pipe is told here, not at the interpreter's exit
    return status or 0


def _help_without_environment(name: str, command: Command) -> str:
    """What a command does; its options are in modules that need the environment."""
    text = f"python3 -m tools {name}: {command.help}"
    if command.parses:
        text += (
            "\n\nIt lists its options once the project's environment is there, which the first "
            "command makes, or: python3 -m tools environment"
        )
    return text


def _rerun_with(interpreter: str, arguments: list[str]) -> int:
    command = [interpreter, "-m", "tools", *arguments]
    if os.name != "nt":
        os.execv(interpreter, command)
    import subprocess

    return subprocess.run(command, check=False).returncode


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "python3 -m tools <command>\n\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
