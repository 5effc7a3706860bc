"""The queries that our pages give against repeats: they find every repeat, and nothing else."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from local.workspace.workspace import Workspace
from shared.connectors import jira, sentinelone
from shared.polling.prepare import RecordPreparer
from shared.records.declared import declared_fields
from shared.records.raw import as_record
from shared.records.timestamps import isoformat
from shared.source.stream import Page
from tests.content.golden import NOW, STREAMS, cases, sent
from tests.content.parsed import open_workspace, stream_of
from tools.project import ROOT

PAGES = ROOT / "docs"
LOGINS = "Custom-OneLogin"
POLLED = {
    stream.name: stream
    for stream in (
        *(stream for stream, _ in sentinelone.LISTS.values()),
        sentinelone.UNIFIED_ALERTS,
        sentinelone.POLICIES,
        sentinelone.SITES,
        jira.AUDIT,
    )
}
TABLES = ("SentinelOne_CL", "Jira_Audit_CL", "OneLogin_CL")
_CHANGED = re.compile(r'(?<="updatedAt": ")\d{4}')


def queries(page: str, word: str) -> list[str]:
    """The queries of a page's first block of KQL that has the word."""
    blocks = (PAGES / page).read_text("utf-8").split("```kusto\n")[1:]
    block = next(text for part in blocks if word in (text := part.partition("\n```")[0]))
    return block.split("\n\n")


def records(stream: str) -> list[dict[str, Any]]:
    """What a stream's run sends: the golden records, and those that it would send once changed."""
    found = [case["record"] for case in cases(stream)]
    if stream == LOGINS:
        return [sent(stream, record) for record in found]
    texts = [json.dumps(record) for record in found]
    if not POLLED[stream].snapshot:  # of which one run sees one state
        texts += [_CHANGED.sub("2031", text) for text in texts]
    both = [json.loads(text) for text in texts]
    prepare = RecordPreparer(POLLED[stream], declared_fields(stream))
    page = prepare(Page([as_record(record) for record in both], 0))
    distinct = dict(zip(reversed(page.fingerprints), reversed(page.bodies), strict=True))
    return [json.loads(body) for body in distinct.values()]


def sizes(workspace: Workspace, asked: list[str]) -> list[int]:
    return [len(workspace.query(kql).rows) for kql in asked]


def test_the_query_that_removes_repeats_removes_nothing_else() -> None:
    """All records twice are what all of them once are; so is what the guide to migration counts."""
    workspace = Workspace(None, now=lambda: NOW)
    batches = {stream: records(stream) for stream, table in STREAMS.items() if table in TABLES}
    for stream, batch in batches.items():
        workspace.ingest(stream, batch)
    once = sizes(workspace, list(TABLES))
    for stream, batch in batches.items():
        workspace.ingest(stream, batch)
    assert sizes(workspace, list(TABLES)) == [2 * rows for rows in once]
    assert sizes(workspace, queries("guarantees.md", "arg_max")) == once
    (counted,) = queries("migrate.md", "Records = count()")
    found = {row["Source"]: row for row in workspace.query(counted).dicts()}
    workspace.close()
    for table, rows in zip(TABLES[:2], once, strict=False):
        assert (found[table]["Rows"], found[table]["Records"]) == (2 * rows, rows)


def test_copies_of_an_old_record_are_one_though_their_times_were_replaced() -> None:
    """Copies that arrive days late and apart have two TimeGenerated, and one own time."""
    clock = [NOW + timedelta(days=30)]
    workspace = Workspace(None, now=lambda: clock[0])
    for _ in range(2):
        for stream in ("Custom-SentinelOneThreats", "Custom-JiraAudit"):
            workspace.ingest(stream, [sent(stream, cases(stream)[0]["record"])])
        clock[0] += timedelta(minutes=7)
    times = workspace.query("SentinelOne_CL | distinct TimeGenerated")
    left = sizes(workspace, queries("guarantees.md", "arg_max")[:2])
    workspace.close()
    assert len(times.rows) == 2
    assert left == [1, 1]


def test_the_guide_tells_what_codeless_and_own_tables_have_in_common() -> None:
    """One activity in both tables, one in ours alone, one in theirs alone: each is counted so."""
    workspace = open_workspace("ours")
    for own, theirs in ((True, True), (True, False), (False, True)):
        record = {"id": f"{own}{theirs}", "createdAt": isoformat(NOW), "updatedAt": isoformat(NOW)}
        if own:
            stream = "Custom-SentinelOneActivities"
            workspace.ingest(stream, [sent(stream, record)])
        if theirs:
            row = {"Id": record["id"], "CreatedAt": record["createdAt"], "TimeGenerated": NOW}
            workspace.ingest(stream_of("SentinelOneActivities_CL"), [row])
    (query,) = queries("migrate.md", "OnlyTheirs")
    (row,) = workspace.query(query).dicts()
    workspace.close()
    assert (row["Both"], row["OnlyOurs"], row["OnlyTheirs"]) == (1, 1, 1)
