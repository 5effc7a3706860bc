"""Write docs/what-you-get.md: rules, workbook, tables, parsers and sample queries of sentinel/.

A person reads it before deploying; it is generated, so that it says what the template installs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tools import workbook
from tools.asim import load_asim
from tools.content import SENTINEL, Parser, Table, load_parsers, load_tables, load_yaml
from tools.generated_files import write_or_check
from tools.project import ROOT
from tools.rules import Rule, load_rules

PAGE = ROOT / "docs" / "what-you-get.md"
SCREENSHOTS = PAGE.parent / "screenshots"
_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60))


def what_you_get() -> str:
    """The whole page."""
    return "\n".join([*_head(), *_rules(), *_workbook(), *_parsers(), *_tables(), *_queries(), ""])


def _head() -> Iterator[str]:
    yield "# What you get in the workspace"
    yield ""
    yield "Made from `sentinel/` by `python -m tools what-you-get`. The template installs all of"
    yield "it for the connectors that you use. `make rules` runs every rule over a made-up"
    yield "week on your own machine."


def _rules() -> Iterator[str]:
    yield "\n## Analytics rules\n"
    yield "Installed switched on; the parameter `enableRules` installs them switched off. A row"
    yield "that was sent twice alerts once."
    yield ""
    yield "| rule | for | severity | runs every | tactics | what it finds |"
    yield "|---|---|---|---|---|---|"
    for rule in sorted(load_rules(), key=lambda each: (each.body["connector"], each.title)):
        body = rule.body
        tactics = ", ".join(_words(tactic) for tactic in body["tactics"])
        techniques = ", ".join(body["relevantTechniques"])
        yield (
            f"| {rule.title} | {body['connector']} | {body['severity']} | {_every(rule)} | "
            f"{tactics}{f' ({techniques})' if techniques else ''} | {_cell(body['description'])} |"
        )


def _every(rule: Rule) -> str:
    seconds = int(rule.frequency.total_seconds())
    unit, size = next((u, s) for u, s in _UNITS if seconds % s == 0)
    count = seconds // size
    return f"{count} {unit if count > 1 else unit.removesuffix('s')}"


def _words(name: str) -> str:
    """Defense evasion of DefenseEvasion."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()


def _workbook() -> Iterator[str]:
    yield "\n## Workbook\n"
    for name in workbook.metadata()["pages"]:
        page = workbook.page(name)
        titles = ", ".join(panel["title"] for panel in page["panels"])
        yield f"- **{page['label']}**: {titles}."
    for name in workbook.metadata()["pages"]:
        picture = SCREENSHOTS / f"workbook-{name.lower()}.png"
        if picture.is_file():
            yield f"\n![The page {name}](screenshots/{picture.name})"


def _parsers() -> Iterator[str]:
    yield "\n## Parsers\n"
    yield "Functions that rename a table's columns; they work where columns, or the table, do not"
    yield "exist yet."
    yield ""
    yield "| function | what it is |"
    yield "|---|---|"
    for parser in load_parsers():
        yield f"| `{parser.alias}` | {_cell(_first_sentences(parser))} |"
    yield "\n## ASIM parsers\n"
    yield "The logs in Microsoft's common schemas: [asim.md](asim.md)."
    yield ""
    yield "| plain | filtering | what it is |"
    yield "|---|---|---|"
    for asim in load_asim():
        about = _cell(_first_sentences(asim.filtering))
        yield f"| `{asim.plain.alias}` | `{asim.filtering.alias}` | {about} |"


def _first_sentences(parser: Parser) -> str:
    return parser.description.partition(". ")[0].rstrip(".") + "."


def _tables() -> Iterator[str]:
    yield "\n## Tables\n"
    for table in load_tables():
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    streams = ", ".join(f"`{name}`" for name in table.streams)
    about = f"{table.description}, {len(table.columns)} columns"
    yield f"<details><summary><b>{table.name}</b>: {about}</summary>"
    yield f"\nStreams: {streams}.\n"
    yield ", ".join(f"{name}: {kind}" for name, kind in table.columns.items())
    yield "\n</details>\n"


def _queries() -> Iterator[str]:
    yield "## Sample queries\n"
    for path in sorted((SENTINEL / "connectors").glob("*.yaml")):
        for sample in load_yaml(path)["sampleQueries"]:
            yield f"{sample['description']}:\n\n```kusto\n{sample['query'].strip()}\n```\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(argv: Sequence[str]) -> int:
    """Write the page, or check it; see ``write_or_check``."""
    return write_or_check("what-you-get", __doc__, lambda: {PAGE: what_you_get()}, argv)
