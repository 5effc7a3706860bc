"""The local Azure Monitor refuses the same requests as Azure: one test a limit."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.azure.entra import Identity
from local.azure.logs_ingestion import AzureMonitor, rule_id
from local.loopback.certificates import Certificates
from local.workspace.workspace import Workspace

RULE = rule_id("JiraAuditRuleId")
STREAM = "Custom-JiraAudit"
MEGABYTE = 1_048_576
JSON = {"Content-Type": "application/json"}


def token(identity: Identity, resource: str = "https://monitor.azure.com") -> str:
    """A managed identity's token, asked for as azure-identity asks."""
    answer = requests.get(
        identity.endpoint,
        params={"resource": resource, "api-version": "2019-08-01"},
        headers={"X-IDENTITY-HEADER": identity.header},
        timeout=10,
    )
    return str(answer.json()["access_token"])


def post(
    monitor: AzureMonitor,
    body: bytes,
    *,
    rule: str = RULE,
    stream: str = STREAM,
    signed: str | None = None,
    version: str = "2023-01-01",
    **headers: str,
) -> requests.Response:
    """One upload; `signed` is the token, by default the managed identity's."""
    signed = token(monitor.identity) if signed is None else signed
    return requests.post(
        f"{monitor.url}/dataCollectionRules/{rule}/streams/{stream}",
        params={"api-version": version},
        data=body,
        headers={
            "Authorization": f"Bearer {signed}",
            "Content-Type": "application/json",
            **headers,
        },
        timeout=30,
    )


def code(answer: requests.Response) -> tuple[int, str]:
    """The status and Azure's own error code."""
    return answer.status_code, answer.json()["error"]["code"]


def array(size: int) -> bytes:
    """A JSON array of exactly so many bytes."""
    frame = len(b'[{"summary":""}]')
    return b'[{"summary":"' + b"x" * (size - frame) + b'"}]'


def test_a_batch_within_every_limit_is_accepted(azure_monitor: AzureMonitor) -> None:
    """204 without a body, and the records are kept as they were sent."""
    answer = post(azure_monitor, b'[{"id": 1, "summary": "\xc3\xa9"}]')
    assert (answer.status_code, answer.content) == (204, b"")
    assert azure_monitor.records(STREAM) == [{"id": 1, "summary": "é"}]


def test_a_body_of_just_the_limit_is_accepted(azure_monitor: AzureMonitor) -> None:
    """1,048,576 bytes pass, raw and as gzip."""
    assert post(azure_monitor, array(MEGABYTE)).status_code == 204
    packed = gzip.compress(array(MEGABYTE))
    assert post(azure_monitor, packed, **{"Content-Encoding": "gzip"}).status_code == 204


def test_a_body_over_the_limit_is_refused(azure_monitor: AzureMonitor) -> None:
    """One byte more is a 413 that names the limit and the size."""
    answer = post(azure_monitor, array(MEGABYTE + 1))
    assert code(answer) == (413, "ContentLengthLimitExceeded")
    assert "1048576" in answer.text
    assert "1048577" in answer.text


def test_the_limit_counts_what_gzip_hides(azure_monitor: AzureMonitor) -> None:
    """A kilobyte of gzip that unpacks to over the limit is a 413 too."""
    packed = gzip.compress(array(MEGABYTE + 1))
    assert len(packed) < 5_000
    answer = post(azure_monitor, packed, **{"Content-Encoding": "gzip"})
    assert code(answer) == (413, "ContentLengthLimitExceeded")


def test_the_limit_counts_the_packed_body(azure_monitor: AzureMonitor) -> None:
    """A gzip body over the limit is refused before it is unpacked."""
    packed = gzip.compress(os.urandom(MEGABYTE + 10))
    answer = post(azure_monitor, packed, **{"Content-Encoding": "gzip"})
    assert code(answer) == (413, "ContentLengthLimitExceeded")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"id": 1}', b"[1]", b'"text"', b"[{}", b"\xff\xfe", b"null"]
)
def test_a_malformed_body_is_refused(azure_monitor: AzureMonitor, body: bytes) -> None:
    """Whatever is not a JSON array of objects is a 400."""
    assert code(post(azure_monitor, body)) == (400, "InvalidRequest")
    assert azure_monitor.records(STREAM) == []


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: b"xx" + packed])
def test_damaged_gzip_is_refused(azure_monitor: AzureMonitor, damage: Any) -> None:
    """A gzip body that ends early or is none is a 400."""
    answer = post(azure_monitor, damage(gzip.compress(b"[{}]")), **{"Content-Encoding": "gzip"})
    assert code(answer) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "deflate"}]
)
def test_other_encodings_are_refused(azure_monitor: AzureMonitor, headers: dict[str, str]) -> None:
    """Only JSON is accepted, as it is or in gzip."""
    assert post(azure_monitor, b"[{}]", **headers).status_code == 415


@pytest.mark.parametrize("signed", ["", "abc", "a.b.c"])
def test_an_unsigned_request_is_refused(azure_monitor: AzureMonitor, signed: str) -> None:
    """Without a token, or with one that Entra did not issue, 401 and where to sign in."""
    answer = post(azure_monitor, b"[{}]", signed=signed)
    assert code(answer) == (401, "InvalidAuthorization")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_token_for_another_service_is_refused(azure_monitor: AzureMonitor) -> None:
    """A token for storage is none for Azure Monitor."""
    signed = token(azure_monitor.identity, "https://storage.azure.com")
    assert code(post(azure_monitor, b"[{}]", signed=signed))[0] == 401


def test_an_expired_token_is_refused(azure_monitor: AzureMonitor) -> None:
    """A token's time ends, and a revoked one is over at once."""
    azure_monitor.identity.lifetime = timedelta(seconds=-1)
    expired = token(azure_monitor.identity)
    azure_monitor.identity.lifetime = timedelta(hours=1)
    assert post(azure_monitor, b"[{}]", signed=expired).status_code == 401
    signed = token(azure_monitor.identity)
    assert post(azure_monitor, b"[{}]", signed=signed).status_code == 204
    azure_monitor.identity.revoke()
    assert post(azure_monitor, b"[{}]", signed=signed).status_code == 401


def test_a_missing_role_is_refused(azure_monitor: AzureMonitor) -> None:
    """Without Monitoring Metrics Publisher on the rule it is a 403 that names the rule."""
    azure_monitor.revoke_role()
    answer = post(azure_monitor, b"[{}]")
    assert code(answer) == (403, "OperationFailed")
    assert RULE in answer.text
    azure_monitor.grant("managed-identity", RULE)
    assert post(azure_monitor, b"[{}]").status_code == 204


def test_an_unknown_rule_is_not_found(azure_monitor: AzureMonitor) -> None:
    """A rule that does not exist is a 404."""
    assert code(post(azure_monitor, b"[{}]", rule="dcr-0")) == (404, "NotFound")


def test_an_unknown_stream_is_not_found(azure_monitor: AzureMonitor) -> None:
    """A stream that the rule does not declare is a 404, even where another rule has it."""
    answer = post(azure_monitor, b"[{}]", stream="Custom-OneLogin")
    assert code(answer) == (404, "InvalidStream")


def test_another_version_of_the_api_is_refused(azure_monitor: AzureMonitor) -> None:
    """The api-version is required."""
    assert code(post(azure_monitor, b"[{}]", version="2021-11-01"))[0] == 400


def test_too_many_requests_a_minute_are_refused(azure_monitor: AzureMonitor) -> None:
    """12,000 requests a minute and rule; beyond them 429 with Retry-After."""
    assert azure_monitor.limits.requests_a_minute == 12_000
    azure_monitor.limits = replace(azure_monitor.limits, requests_a_minute=3)
    signed = token(azure_monitor.identity)
    answers = [post(azure_monitor, b"[{}]", signed=signed) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [204, 204, 204, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    other = rule_id("OneLoginRuleId")
    answer = post(azure_monitor, b"[{}]", rule=other, stream="Custom-OneLogin", signed=signed)
    assert answer.status_code == 204


def test_too_many_bytes_a_minute_are_refused(azure_monitor: AzureMonitor) -> None:
    """2 GB a minute and rule, counted before compression."""
    assert azure_monitor.limits.bytes_a_minute == 2 * 1024**3
    azure_monitor.limits = replace(azure_monitor.limits, bytes_a_minute=100_000)
    packed = gzip.compress(array(60_000))
    signed = token(azure_monitor.identity)
    statuses = [
        post(azure_monitor, packed, signed=signed, **{"Content-Encoding": "gzip"}).status_code
        for _ in range(2)
    ]
    assert statuses == [204, 429]


def test_one_bad_record_refuses_its_batch(azure_monitor: AzureMonitor) -> None:
    """A batch with a record that the rule refuses is a 400, and nothing of it arrives."""
    azure_monitor.refuse = lambda _, record: "poison" if record.get("id") == 2 else None
    assert code(post(azure_monitor, b'[{"id":1},{"id":2}]')) == (400, "InvalidRecord")
    assert post(azure_monitor, b'[{"id":1}]').status_code == 204
    assert azure_monitor.records(STREAM) == [{"id": 1}]


def test_tls_is_real(azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not trust the local authority is not served."""
    signed = token(azure_monitor.identity)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError):
        post(azure_monitor, b"[{}]", signed=signed)


def test_what_is_accepted_ends_in_the_table_as_azure_would_store_it(
    identity: Identity, tls: Certificates
) -> None:
    """Transformed, typed, undeclared fields dropped, old TimeGenerated replaced, cut at 64 KB."""
    now = datetime.now(UTC)
    workspace = Workspace(None)
    with AzureMonitor(identity, {RULE: [STREAM]}, tls, workspace=workspace) as monitor:
        record = {
            "TimeGenerated": (now - timedelta(days=30)).isoformat(),
            "id": 7,
            "summary": "x" * 70_000,
            "nobodyDeclaredThis": 1,
        }
        assert post(monitor, json.dumps([record]).encode()).status_code == 204
        monitor.settle()
        rows = workspace.query("Jira_Audit_CL | project TimeGenerated, id_d, summary_s").rows
    workspace.close()
    [(time_generated, number, summary)] = rows
    assert abs(time_generated - now) < timedelta(minutes=5)
    assert (number, len(summary)) == (7.0, 65_536)
