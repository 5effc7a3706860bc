"""The table that the model uses answers as the storage emulator does."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.data.tables import UpdateMode

from shared.azure import storage
from tests.guarantees.model_table import ModelTable

KEY = {"PartitionKey": "p", "RowKey": "r"}
EITHER = UpdateMode.MERGE, UpdateMode.REPLACE


def answers(table: Any) -> list[Any]:
    """A table's response to each operation of a checkpoint."""
    said: list[Any] = []

    def ask(name: str, *values: Any, **options: Any) -> Any:
        try:
            answer = getattr(table, name)(*values, **options)
        except AzureError as error:
            said.append(type(error).__name__)
            return None
        said.append("done")
        return answer

    def update(properties: dict[str, Any], mode: UpdateMode, etag: str) -> str:
        options = {"mode": mode, "etag": etag, "match_condition": MatchConditions.IfNotModified}
        answer = ask("update_entity", {**KEY, **properties}, **options)
        return str(answer["etag"]) if answer else ""

    def read() -> None:
        row = ask("get_entity", "p", "r")
        said.append({} if row is None else dict(row))

    ask("create_entity", dict(KEY))
    ask("create_table")
    ask("create_table")
    read()
    ask("delete_entity", "p", "r")
    etag = str(ask("create_entity", {**KEY, "a": b"\x00\x01", "b": 1})["etag"])
    ask("create_entity", dict(KEY))
    for mode in EITHER:
        newer = update({"b": 2, "c": mode.name}, mode, etag)
        update({"b": 3}, mode, etag)
        said.append(newer not in ("", etag))
        read()
        etag = newer
    within = "PartitionKey ge 'p' and PartitionKey lt 'q' and RowKey eq"
    found = (table.query_entities(f"{within} '{name}'") for name in ("r", "s"))
    said.extend([dict(row) for row in rows] for rows in found)
    ask("delete_entity", "p", "r")
    update({"b": 4}, UpdateMode.MERGE, etag)
    read()
    return said


@pytest.mark.usefixtures("storage")
def test_the_models_table_answers_as_the_emulator_does() -> None:
    """Without this, the model would prove something about a table that does not exist."""
    assert answers(ModelTable()) == answers(storage.table("ModelTable"))
