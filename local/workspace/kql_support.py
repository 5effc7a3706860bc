"""The part of KQL that the local workspace runs, and the part that only Log Analytics does."""

from __future__ import annotations

import textwrap

from duckdb_kql.translate.functions import AGGREGATE_FUNCTIONS, SCALAR_FUNCTIONS

from local.workspace.kql_errors import MISSING, OPERATORS
from local.workspace.kql_stages import WINDOW_FUNCTIONS

# Operators without columns, which the engine reads besides those of OPERATORS.
SOURCES = ("datatable", "let", "materialize", "print", "range", "toscalar")


def operators_here() -> list[str]:
    """The operators that work."""
    return sorted({*OPERATORS, *SOURCES} - set(MISSING))


def aggregates_here() -> list[str]:
    """The functions of summarize that work."""
    return sorted({*AGGREGATE_FUNCTIONS, "percentiles"})


def functions_here() -> list[str]:
    """The functions of a row that work."""
    here = {*SCALAR_FUNCTIONS, *WINDOW_FUNCTIONS, "ingestion_time", "column_ifexists"}
    return sorted(name for name in here if name.isidentifier() and not name.startswith("_"))


def described(width: int = 78) -> str:
    """All of it as text, for ``query --help``."""
    parts = {
        "operators that work": operators_here(),
        "operators that only Log Analytics runs": sorted(MISSING),
        "in summarize": aggregates_here(),
        "functions": functions_here(),
    }
    wrap = textwrap.TextWrapper(
        width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    return "\n".join(f"{title}:\n{wrap.fill(' '.join(names))}" for title, names in parts.items())
