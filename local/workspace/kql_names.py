"""Names are case-sensitive in Log Analytics, and in DuckDB they are not: check them first.

https://learn.microsoft.com/kusto/query/schema-entities/entity-names
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from duckdb_kql.translate.functions import AGGREGATE_FUNCTIONS, SCALAR_FUNCTIONS

from local.workspace.kql_errors import QueryError
from local.workspace.kql_pipeline import operators
from local.workspace.kql_tokens import Token, place, tokens

# Words of KQL that may stand where a name may.
_WORDS = frozenset(
    "and asc between bool boolean by datetime desc double dynamic false first from guid in int "
    "kind last let long not null nulls of on or real step string timespan to true type typeof with"
    "".split()
)


def check_names(kql: str, columns: Iterable[str], sources: Collection[str]) -> None:
    """Raise ``QueryError`` at a name that differs by case alone from the one that there is."""
    found = tokens(kql)
    known = {*columns, *sources, *_defined(kql, found)}
    by_case = {name.casefold(): name for name in known}
    for index, token in enumerate(found):
        before = found[index - 1].text if index else ""
        if token.kind != "name" or before in (".", "$", "|") or token.text in _WORDS | known:
            continue
        after = found[index + 1].text if index + 1 < len(found) else ""
        lower = token.text.lower()
        is_function = lower in SCALAR_FUNCTIONS or lower in AGGREGATE_FUNCTIONS
        if after == "(" and is_function and token.text != lower:
            raise _differs(kql, token, "function", lower)
        if (right := by_case.get(token.text.casefold())) and not (after == "(" and is_function):
            raise _differs(kql, token, "table" if right in sources else "column", right)


def _differs(kql: str, token: Token, kind: str, right: str) -> QueryError:
    message = f"there is no {kind} {token.text}; did you mean {right}? Names are case-sensitive"
    return QueryError(message, *place(kql, token.start))


def _defined(kql: str, found: Sequence[Token]) -> set[str]:
    """The names that the query gives: by =, by let and as, typed in a list, or parsed."""
    names: set[str] = set()
    for index, token in enumerate(found):
        before = found[index - 1].text if index else ""
        if token.kind != "name":
            continue
        if before in ("let", "as") or _is_assigned(kql, found, index):
            names.add(token.text)
    for operator in operators(kql):
        if operator.name.startswith("parse"):
            within = [t for t in found if operator.start <= t.start < operator.end]
            start = next((i for i, token in enumerate(within) if token.text == "with"), 0)
            names |= {token.text for token in within[start:] if token.kind == "name"}
        elif operator.name == "range" and operator.pipe is None:
            names |= {t.text for t in found if operator.start < t.start < operator.end}
    return names


def _is_assigned(kql: str, found: Sequence[Token], index: int) -> bool:
    """Whether the name at ``index`` is followed by one = or :, alone or in a list in brackets."""
    at = index + 1
    while at + 1 < len(found) and found[at].text == "," and found[at + 1].kind == "name":
        at += 2
    if at > index + 1 and (at >= len(found) or found[at].text != ")"):
        return False
    if at < len(found) and found[at].text == ")" and _opens_list(found, index):
        at += 1
    if at >= len(found):
        return False
    mark = found[at]
    return mark.text == ":" or (mark.text == "=" and kql[mark.end : mark.end + 1] not in ("=", "~"))


def _opens_list(found: Sequence[Token], index: int) -> bool:
    """Whether only names and commas stand between ``index`` and the bracket before it."""
    while index > 0 and (found[index].kind == "name" or found[index].text == ","):
        index -= 1
    return found[index].text == "("
