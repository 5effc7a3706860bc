"""Health rows: each run's result in ConnectorHealth_CL, without a cost to the run."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import orjson
import pytest

import shared.azure.storage
from local.loopback.faults import FOREVER, answer, reset, silence
from local.vendors.onelogin_records import onelogin_event
from shared import VERSION
from shared.delivery.batch_sender import DeliveryCounters
from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import sink_of
from shared.delivery.spool import QUEUE
from shared.errors import RunFailed
from shared.health import rows
from shared.health.rows import STREAM, post
from shared.health.webhook import WebhookHealth
from shared.records.declared import declared_fields
from shared.records.timestamps import utc_now
from shared.state.checkpoint import TABLE
from shared.state.webhook_history import keep_history
from shared.telemetry.run import RunResult, RunState
from tests.app import TOKEN, App

EVENT = onelogin_event(1, utc_now())


def test_a_run_tells_a_row_a_stream(app: App) -> None:
    """Each stream's row carries the run's own numbers, in the columns that the table declares."""
    app.fill(60)
    runs = {run.stream: run for run in app.poll_sentinelone()}
    rows = {row["Stream"]: row for row in app.monitor.records(STREAM)}
    assert rows.keys() == runs.keys()
    assert all(set(row) <= declared_fields(STREAM) for row in rows.values())
    activities = rows["Custom-SentinelOneActivities"]
    assert (activities["Connector"], activities["Status"]) == ("SentinelOne", "ok")
    assert activities["Records"] == 60
    assert activities["Bytes"] > 0
    sent = app.monitor.records("Custom-SentinelOneActivities")
    assert activities["BytesRead"] > sum(len(orjson.dumps(record)) for record in sent) // 2
    assert activities["Requests"] == runs["Custom-SentinelOneActivities"].requests
    assert activities["Version"] == VERSION
    assert activities["RunId"] == runs["Custom-SentinelOneActivities"].run_id


def test_a_failing_stream_tells_why(app: App) -> None:
    """A stream that failed has the status failing, the error's class and its message."""
    app.jira.denied = 403
    with pytest.raises(RunFailed):
        app.poll_jira()
    (row,) = app.monitor.records(STREAM)
    assert (row["Status"], row["ErrorClass"]) == ("failing", "VendorRefused")
    assert "Administer Jira" in row["Message"]


def test_a_row_that_is_not_taken_fails_no_run(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Whether the rule refuses or the connection breaks: the run ends well, with one warning."""
    for fault in (answer(403), answer(400), answer(503), reset()):
        app.monitor.faults.add(STREAM, fault)
        caplog.clear()
        app.poll_jira()
        said = [record for record in caplog.records if "health_not_sent" in record.message]
        assert [record.levelno for record in said] == [logging.WARNING]
    assert app.monitor.records(STREAM) == []


def test_azure_monitor_that_never_answers_holds_a_run_up_for_seconds(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows have a short time of their own; then the run ends well, and the log says why."""
    app.settings.setattr(rows, "_SECONDS", 0.5)
    app.monitor.faults.add(STREAM, silence())
    app.poll_jira()
    assert "health_not_sent" in caplog.text
    app.poll_jira()
    assert len(app.monitor.records(STREAM)) == 1


def test_a_run_costs_one_small_upload_at_most(app: App) -> None:
    """All ten streams' rows go out in one call."""
    app.poll_sentinelone()
    assert app.monitor.server.count(STREAM) == 1


def test_without_a_rule_nothing_is_sent(app: App) -> None:
    """No health rule and no fallback, no row; the run is as it would be."""
    app.settings.delenv("ConnectorHealthRuleId")
    app.poll_jira()
    assert app.monitor.server.count(STREAM) == 0


def test_the_fallback_rule_takes_the_rows(app: App) -> None:
    """LogsIngestionRuleId serves where ConnectorHealthRuleId is not set."""
    rule = next(rule for rule, streams in app.monitor.rules.items() if STREAM in streams)
    app.settings.delenv("ConnectorHealthRuleId")
    app.settings.setenv("LogsIngestionRuleId", rule)
    app.poll_jira()
    assert len(app.monitor.records(STREAM)) == 1


def test_the_data_collector_gets_no_rows(app: App) -> None:
    """There is no table for them there, so nothing is posted."""
    app.settings.delenv("LogsIngestionEndpoint")
    app.settings.setenv("WorkspaceID", "11111111-2222-3333-4444-555555555555")
    app.settings.setenv("WorkspaceKey", "a2V5")
    app.settings.setenv("logAnalyticsUri", app.monitor.url)
    run = RunResult("Jira", "Custom-JiraAudit", "run", utc_now())
    assert post("Jira", [run])
    assert app.monitor.server.count() == 0


def test_a_token_that_tells_its_end_is_watched(app: App) -> None:
    """Where SentinelOne says when the token ends, the rows carry the days left; else nothing."""
    app.sentinelone.token_expires_at = utc_now() + timedelta(days=10)
    app.poll_sentinelone()
    days = {row["TokenExpiresInDays"] for row in app.monitor.records(STREAM)}
    assert len(days) >= 1
    assert all(9.9 < left <= 10 for left in days)
    assert app.sentinelone.server.count("api-token-details") == 1


def test_an_unknown_end_is_asked_for_once(app: App) -> None:
    """A service user may not ask: the column stays empty, and not every run asks again."""
    app.poll_sentinelone()
    app.poll_sentinelone()
    assert {row["TokenExpiresInDays"] for row in app.monitor.records(STREAM)} == {None}
    assert app.sentinelone.server.count("api-token-details") == 1


def test_webhook_requests_are_told_together(app: App) -> None:
    """Many requests are one row, with the spool's depth; none of them waits for it."""
    posts = [[{**EVENT, "uuid": f"{number}-{n}"} for n in range(5)] for number in range(3)]
    for events in posts:
        app.post_events(events)
    assert app.monitor.records(STREAM) == []
    app.health.rows.flush()
    (row,) = app.monitor.records(STREAM)
    assert (row["Connector"], row["Stream"], row["Status"]) == ("OneLogin", "Custom-OneLogin", "ok")
    assert (row["Records"], row["Requests"]) == (15, 3)
    assert row["BytesRead"] == sum(len(orjson.dumps(events)) for events in posts)
    assert (row["SpoolDepth"], row["PoisonMessages"]) == (0, 0)


@pytest.mark.parametrize("order", ["wrong first", "wrong last"])
def test_a_wrong_token_among_good_requests_is_told(app: App, order: str) -> None:
    """Whichever came last: the row is late, with the error's class and the events' number."""
    tokens = ["an old one", TOKEN] if order == "wrong first" else [TOKEN, "an old one"]
    for token in tokens:
        app.post_events([EVENT], token=token)
    app.health.rows.flush()
    (row,) = app.monitor.records(STREAM)
    assert (row["Status"], row["ErrorClass"]) == ("late", "VendorRefused")
    assert row["Records"] == 1


def test_wrong_tokens_alone_are_a_failing_row(app: App) -> None:
    """Where no good post comes, the sender has most likely an old token."""
    app.post_events([EVENT], token="an old one")
    app.health.rows.flush()
    (row,) = app.monitor.records(STREAM)
    assert (row["Status"], row["ErrorClass"]) == ("failing", "VendorRefused")


def test_the_spool_is_counted_while_azure_monitor_is_down(app: App) -> None:
    """Events in the spool make the row late, and tell how many messages wait."""
    app.monitor.faults.add("Custom-OneLogin", answer(503), times=FOREVER)
    app.post_events([EVENT])
    app.health.rows.flush()
    (row,) = app.monitor.records(STREAM)
    assert (row["Status"], row["SpoolDepth"]) == ("late", 1)


def test_delivery_retry_tells_of_the_spool(app: App) -> None:
    """A redelivery adds its bytes, but no records: they were counted on receipt."""
    app.monitor.faults.add("Custom-OneLogin", answer(503), times=FOREVER)
    app.post_events([EVENT])
    (message,) = shared.azure.storage.queue(QUEUE).receive_messages()
    app.monitor.faults.clear()
    done = deliver_message(message.content, sink_of).total
    app.health.retried(done)
    app.health.rows.flush()
    (row,) = app.monitor.records(STREAM)
    assert (row["Records"], row["Status"]) == (1, "ok")
    assert row["Bytes"] == done.bytes_sent > 0


def test_instances_share_the_webhooks_history(app: App) -> None:
    """Two instances that count at once lose none of each other's counts."""
    for name in ("one", "two"):
        other = WebhookHealth("OneLogin", "Custom-OneLogin")
        run = RunResult("OneLogin", "Custom-OneLogin", name, utc_now(), records=7)
        other.report(run)
        other.history.flush()
    row = shared.azure.storage.table(TABLE).get_entity("OneLogin:webhook", "Custom-OneLogin")
    hours = orjson.loads(row["history"])["hours"]
    assert sum(counts[0] for counts in hours.values()) == 14


def test_history_survives_an_outage_of_storage(
    app: App, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts that could not be written are added to the next ones, after one warning."""
    run = RunResult("OneLogin", "Custom-OneLogin", "run", utc_now(), records=7)
    app.settings.setenv("AzureWebJobsStorage", _nowhere(storage))
    shared.azure.storage.forget_clients()
    app.health.report(run)
    app.health.history.flush()
    assert caplog.text.count("history_not_kept") == 1
    app.settings.setenv("AzureWebJobsStorage", storage)
    shared.azure.storage.forget_clients()
    app.health.report(run)
    app.health.history.flush()
    row = shared.azure.storage.table(TABLE).get_entity("OneLogin:webhook", "Custom-OneLogin")
    hours = orjson.loads(row["history"])["hours"]
    assert sum(counts[0] for counts in hours.values()) == 14


def _nowhere(connection: str) -> str:
    """The same account at a port without a server."""
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", connection)


def test_good_and_failed_requests_both_leave_a_mark(app: App) -> None:
    """The history has the last success and the last error."""
    failed = RunResult(
        connector="OneLogin",
        stream="Custom-OneLogin",
        run_id="a",
        started=utc_now(),
        status=RunState.FAILING,
        error=ValueError("as an example"),
    )
    keep_history(RunResult("OneLogin", "Custom-OneLogin", "b", utc_now(), records=1), failed)
    row = shared.azure.storage.table(TABLE).get_entity("OneLogin:webhook", "Custom-OneLogin")
    history = orjson.loads(row["history"])
    assert history["status"] == "ok"
    assert history["lastSuccess"]
    assert history["lastError"]["message"] == "as an example"


def test_a_later_request_of_another_instance_stands(app: App) -> None:
    """An instance that reports late adds its counts and its error, and changes no state."""
    now = utc_now()
    good = RunResult("OneLogin", "Custom-OneLogin", "b", now, records=1)
    failed = RunResult(
        "OneLogin",
        "Custom-OneLogin",
        "a",
        now - timedelta(seconds=30),
        status=RunState.FAILING,
        error=ValueError("as an example"),
    )
    keep_history(good)
    keep_history(failed, failed)
    row = shared.azure.storage.table(TABLE).get_entity("OneLogin:webhook", "Custom-OneLogin")
    history = orjson.loads(row["history"])
    assert history["status"] == "ok"
    assert history["lastRun"] == history["lastSuccess"]
    assert history["lastError"]["message"] == "as an example"


def test_a_redelivery_is_no_good_post(app: App) -> None:
    """What DeliveryRetry delivers does not end what a refused post began."""
    app.post_body(b"nothing")
    app.health.retried(DeliveryCounters(accepted=1, requests=1))
    app.health.history.flush()
    assert app.stream("OneLogin")["assessment"]["state"] == "failing"
