"""The queries of analytics rules as they are deployed, and what each of them reads.

Sentinel refuses a rule whose table it does not know yet, which lasts minutes after a table was
made. So every query begins with a fuzzy union of an empty datatable and the table, of the columns
that it uses: what is unknown is left out of such a union.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tools.asim import workspace_functions
from tools.content import StreamDecl, Table, load_parsers, load_tables

_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*)|(?P<text>@?\"(?:[^\"\\\n]|\\.)*\"|@?'(?:[^'\\\n]|\\.)*')"
    r"|(?P<name>\.?[A-Za-z_]\w*)|(?P<other>.)",
    re.DOTALL,
)
_ARRIVAL = re.compile(r"\bingestion_time\(\s*\)")
_ARRIVED = "IngestedAt"
_KQL_TYPES = {"boolean": "bool"}


def deployed(query: str) -> str:
    """``query`` with the tables that it names put behind fuzzy unions.

    ``ingestion_time()`` is taken where the table is read, since only a table's own rows have it.
    """
    found = set(names(query))
    named = [table for table in load_tables() if table.name in found]
    if not named:
        return query
    unions = "".join(_union(table, found, query) for table in named)
    rows = {table.name: _rows(table) for table in named}
    body = "".join(rows.get(word, word) if kind == "name" else word for kind, word in tokens(query))
    return unions + _ARRIVAL.sub(_ARRIVED, body)


def _rows(table: Table) -> str:
    return f"{table.name.removesuffix('_CL')}Rows"


def _union(table: Table, found: set[str], query: str) -> str:
    columns = {name: kind for name, kind in table.columns.items() if name in found}
    empty = [f"{name}: {_KQL_TYPES.get(kind, kind)}" for name, kind in columns.items()]
    # In a table that the Data Collector made these are guids, which no union puts beside text.
    read = [f"{name} = tostring({name})" if name.endswith("_g") else name for name in columns]
    if _ARRIVAL.search(query):
        empty.append(f"{_ARRIVED}: datetime")
        read.append(f"{_ARRIVED} = ingestion_time()")
    return (
        f"let {_rows(table)} = union isfuzzy=true\n"
        f"    (datatable({', '.join(empty)}) []),\n"
        f"    ({table.name} | project {', '.join(read)});\n"
    )


def tokens(query: str) -> Iterator[tuple[str, str]]:
    """Yield the kind (comment, text, name, other) and the characters of each part of a query."""
    for match in _TOKEN.finditer(query):
        yield match.lastgroup or "", match[0]


def names(query: str) -> Iterator[str]:
    """Yield the words of a query that are no strings, comments, or members of something."""
    return (word for kind, word in tokens(query) if kind == "name")


def _texts(query: str) -> Iterator[str]:
    return (word.strip("@\"'") for kind, word in tokens(query) if kind == "text")


def tables(query: str) -> Sequence[Table]:
    """The tables that a query reads, by itself or by our functions."""
    bodies = {each.alias: each.body for each in (*load_parsers(), *workspace_functions())}
    found, left = set(), set(names(query))
    while left:
        found |= left
        left = {name for alias in left & bodies.keys() for name in names(bodies[alias])} - found
    return [table for table in load_tables() if table.name in found]


def streams(query: str) -> Sequence[StreamDecl]:
    """All of each table's streams, or those whose ``event_name`` the query names."""
    texts = set(_texts(query))
    read: list[StreamDecl] = []
    for table in tables(query):
        own = list(table.streams.values())
        chosen = [stream for stream in own if _event_name(table, stream) in texts]
        read += chosen or own
    return read


def _event_name(table: Table, stream: StreamDecl) -> str:
    """What a row of a table that several streams fill says it is of."""
    return f"{stream.name.removeprefix('Custom-').removeprefix(table.name.removesuffix('_CL'))}."
