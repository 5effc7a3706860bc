"""Connection test: each fault is a failed step with advice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from local.commands import check as make_check
from local.loopback.faults import FOREVER, answer, html, silence
from local.vendors.onelogin_records import onelogin_event
from shared.diagnostics import connection_test, vendor_steps
from shared.health.rows import STREAM
from shared.records.declared import declared_fields
from shared.records.timestamps import utc_now
from tests.app import App, ask


def steps_of(what: str = "all") -> dict[str, dict[str, Any]]:
    """Run a test; return its steps by section and name."""
    report = connection_test.check_connections(what)
    value = orjson.loads(orjson.dumps(report))
    return {f"{step['part']}: {step['name']}": step for step in value["steps"]}


def failed(what: str = "all") -> dict[str, dict[str, Any]]:
    return {name: step for name, step in steps_of(what).items() if step["result"] == "failed"}


def test_all_passes_where_all_is_well(app: App) -> None:
    """Every connector, every stream, every rule: each has its step, and its duration."""
    app.post_events([onelogin_event(1, utc_now())])
    steps = steps_of()
    assert [n for n, step in steps.items() if step["result"] == "failed"] == []
    for name in (
        "SentinelOne: settings",
        "SentinelOne: name resolution",
        "SentinelOne: sign-in",
        "SentinelOne: activities",
        "SentinelOne: policies",
        "Jira: jiraaudit",
        "OneLogin: events",
        "Destination: TLS",
        "Destination: sign-in",
        "Destination: rule for Custom-SentinelOneActivities",
        "Destination: rule for Custom-OneLogin",
        "Destination: sample",
        "Destination: storage: tables",
    ):
        assert steps[name]["result"] == "passed", steps[name]
    assert all(step["seconds"] >= 0 for step in steps.values())


def test_the_sample_is_marked_and_the_only_one(app: App) -> None:
    """One row goes to the health table, in its columns, off and named Test; no event is made up."""
    steps_of("destination")
    (row,) = app.monitor.records(STREAM)
    assert (row["Connector"], row["Status"]) == ("Test", "off")
    assert set(row) <= declared_fields(STREAM)
    streams = {stream for rule in app.monitor.rules.values() for stream in rule} - {STREAM}
    assert [stream for stream in streams if app.monitor.records(stream)] == []


def test_without_a_health_rule_there_is_no_sample(app: App) -> None:
    """The step is skipped, and says why."""
    app.settings.delenv("ConnectorHealthRuleId")
    step = steps_of("destination")["Destination: sample"]
    assert step["result"] == "skipped"
    assert "ConnectorHealthRuleId" in step["detail"]


def test_a_wrong_setting_is_named(app: App) -> None:
    """The first step fails with the setting's name; the steps that need it do not run."""
    app.settings.setenv("SentinelOneUrl", "ftp://acme")
    steps = steps_of("sentinelone")
    assert list(steps) == ["SentinelOne: settings"]
    assert steps["SentinelOne: settings"]["result"] == "failed"
    assert "SentinelOneUrl" in steps["SentinelOne: settings"]["detail"]


def test_a_name_that_resolves_to_nothing(app: App) -> None:
    """A misspelt address fails at name resolution."""
    app.settings.setenv("SentinelOneUrl", "https://acme.sentinelone.invalid")
    assert list(failed("sentinelone")) == ["SentinelOne: name resolution"]


def test_an_untrusted_certificate(app: App, tmp_path: Path) -> None:
    """TLS fails, and the step names REQUESTS_CA_BUNDLE."""
    import certifi

    app.settings.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    step = failed("destination")["Destination: TLS"]
    assert "REQUESTS_CA_BUNDLE" in step["advice"]


def test_a_revoked_token_fails_the_sign_in_once(app: App) -> None:
    """One failed step, not ten: without a sign-in the streams are not tested."""
    app.sentinelone.token = "another"
    steps = failed("sentinelone")
    assert list(steps) == ["SentinelOne: sign-in"]
    assert "SentinelOneAPIToken" in steps["SentinelOne: sign-in"]["detail"]
    assert steps["SentinelOne: sign-in"]["advice"]


def test_a_permission_for_one_stream_is_missing(app: App) -> None:
    """A required stream fails; an optional one is skipped as not licensed."""
    app.sentinelone.denied |= {"threats": 403, "devicecontrol": 403}
    steps = steps_of("sentinelone")
    assert steps["SentinelOne: threats"]["result"] == "failed"
    assert steps["SentinelOne: devicecontrol"]["result"] == "skipped"
    assert steps["SentinelOne: activities"]["result"] == "passed"


def test_jira_without_its_permission(app: App) -> None:
    """403 is no failed sign-in: the stream's step names the permission."""
    app.jira.denied = 403
    steps = failed("jira")
    assert list(steps) == ["Jira: jiraaudit"]
    assert "Administer Jira" in steps["Jira: jiraaudit"]["detail"]


def test_a_login_page_in_the_apis_place(app: App) -> None:
    """HTML instead of JSON is a failed step, never a passed one."""
    app.jira.faults.add("/rest/api", html(), times=FOREVER)
    assert "Jira: sign-in" in failed("jira")


def test_a_role_that_is_missing(app: App) -> None:
    """Each rule's step names the role."""
    app.monitor.revoke_role()
    steps = failed("destination")
    assert "Destination: sample" in steps
    assert (
        "Monitoring Metrics Publisher" in steps["Destination: rule for Custom-JiraAudit"]["detail"]
    )


def test_a_rule_that_does_not_exist(app: App) -> None:
    """A wrong immutable id is found before any event needs it."""
    app.settings.setenv("JiraAuditRuleId", "dcr-" + "0" * 32)
    steps = failed("destination")
    assert list(steps) == ["Destination: rule for Custom-JiraAudit"]
    assert "JiraAuditRuleId" in steps["Destination: rule for Custom-JiraAudit"]["detail"]


def test_an_empty_array_may_be_refused(app: App) -> None:
    """A 400 to the empty array passes: it too proves rule and stream."""
    app.monitor.faults.add("Custom-JiraAudit", answer(400), times=FOREVER)
    step = steps_of("destination")["Destination: rule for Custom-JiraAudit"]
    assert step["result"] == "passed"


def test_storage_that_does_not_answer(app: App) -> None:
    """Three failed steps name the storage account; nothing is raised."""
    import shared.azure.storage

    app.settings.setenv("AzureWebJobsStorage", "")
    shared.azure.storage.forget_clients()
    steps = failed("destination")
    assert {"Destination: storage: tables", "Destination: storage: blobs"} <= steps.keys()


def test_connectors_that_are_off_are_skipped(app: App) -> None:
    """No settings, nothing to test, no failure."""
    for name in ("JiraHomeSiteName", "JiraUsername", "JiraAccessToken"):
        app.settings.delenv(name)
    steps = steps_of("jira")
    assert steps["Jira: settings"]["result"] == "skipped"
    assert len(steps) == 1


def test_a_connector_that_only_takes_posts_is_told_of_once(app: App) -> None:
    """Its API, by which it could be polled too, has no settings: that is no second section."""
    app.settings.delenv("OneLoginBearerToken")
    parts = [f"{step.part}: {step.name}" for step in connection_test.check_connections("all").steps]
    assert parts.count("OneLogin: settings") == 1
    assert len(parts) == len(set(parts))


def test_connections_with_names_alone_are_tested_with_their_webhook_and_destination(
    app: App,
) -> None:
    """The webhook's token and the rule are those of the name; another destination is its own."""
    for name in ("OneLoginBearerToken", "OneLoginRuleId"):
        app.settings.setenv(f"{name}__emea", os.environ[name])
        app.settings.delenv(name)
    app.settings.setenv("JiraAuditRuleId__apac", "dcr-00000000000000000000000000000000")
    for name in ("JiraHomeSiteName", "JiraUsername", "JiraAccessToken"):
        app.settings.setenv(f"{name}__apac", os.environ[name])
        app.settings.delenv(name)
    steps = steps_of()
    assert steps["OneLogin emea: settings"]["result"] == "passed"
    assert "OneLogin: settings" not in steps
    assert steps["Destination emea: rule for Custom-OneLogin"]["result"] == "passed"
    assert steps["Destination apac: rule for Custom-JiraAudit"]["result"] == "failed"
    assert steps["Destination: rule for Custom-SentinelOneActivities"]["result"] == "passed"
    assert "Destination: rule for Custom-OneLogin" not in steps


def test_a_vendor_that_never_answers_costs_its_time_and_no_more(app: App) -> None:
    """The test ends at its deadline with the steps done by then."""
    app.settings.setattr(connection_test, "SECONDS", 2.0)
    app.settings.setattr(vendor_steps, "_STREAM_SECONDS", 5.0)
    app.jira.faults.add("/rest/api", silence(), times=FOREVER)
    report = connection_test.check_connections("all")
    assert report.seconds < 10
    assert not report.passed
    assert any(step.part == "Jira" and step.result == "failed" for step in report.steps)


def test_tests_are_rate_limited(app: App) -> None:
    """A second test right after is a 429 with Retry-After."""
    assert ask("POST", {"test": "jira"}).status_code == 200
    again = ask("POST", {"test": "jira"})
    assert again.status_code == 429
    assert 1 <= int(again.headers["Retry-After"]) <= 10


@pytest.mark.parametrize("params", [{"test": "everything"}, {}, {"redrive": "all"}])
def test_only_known_things_are_done(app: App, params: dict[str, str]) -> None:
    """A POST with an unknown name is a 400 that lists the choices."""
    answered = ask("POST", params)
    assert answered.status_code == 400
    assert " is one of " in json.loads(answered.get_body())["error"]


def test_no_secret_is_in_a_report(app: App) -> None:
    """No step contains a token or a key, also where all fails."""
    app.sentinelone.token = "another"
    app.jira.denied = 401
    text = json.dumps(steps_of())
    assert "local-sentinelone-token" not in text
    assert "local-jira-token" not in text
    assert "local-onelogin-token" not in text


def test_a_fault_of_the_program_is_told_without_its_text(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Class and place are logged and reported; the text, which may quote a secret, is not."""

    def fail(*_: Any) -> None:
        raise KeyError("hush-hush")

    monkeypatch.setattr(connection_test, "destination_steps", fail)
    report = connection_test.check_connections("destination")
    assert "KeyError" in report.steps[-1].detail
    assert "KeyError at test_connection_test.py" in caplog.text
    assert "hush-hush" not in caplog.text


def test_make_check_tells_the_same(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make check` reads local.settings.json, prints each step, and fails where one failed."""
    settings = tmp_path / "local.settings.json"
    settings.write_text(json.dumps({"IsEncrypted": False, "Values": {"OverlapMinutes": "10"}}))
    assert make_check.main(["jira", "--settings", str(settings)]) == 0
    assert "passed  Jira: jiraaudit" in capsys.readouterr().out
    app.jira.denied = 403
    assert make_check.main(["jira", "--settings", str(settings)]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_make_check_without_settings_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file is a sentence, not a traceback."""
    assert make_check.main(["--settings", str(tmp_path / "none.json")]) == 1
    assert "local.settings.json.example" in capsys.readouterr().err
