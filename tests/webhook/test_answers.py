"""The webhook's responses, row by row, and the state behind each."""

from __future__ import annotations

import gzip
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from local.azure.logs_ingestion import AzureMonitor
from shared.delivery.dead_letter_blobs import listed, read_entries
from shared.delivery.spool import Spool
from shared.records.timestamps import parse_time
from shared.webhook import receiver
from shared.webhook.body import MAX_BYTES
from tests.webhook.posts import STREAM, TOKEN, dead_letters, event, events, post
from tools.project import ROOT


def uuids(azure_monitor: AzureMonitor) -> list[str]:
    return [record["uuid"] for record in azure_monitor.records(STREAM)]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(events(3)).encode(),
        json.dumps(events(3), indent=2).encode(),
        b"\n".join(json.dumps(each).encode() for each in events(3)),
        b"\r\n".join(json.dumps({"event": each}).encode() for each in events(3)) + b"\r\n",
        json.dumps([{"event": each} for each in events(3)]).encode(),
        gzip.compress(json.dumps(events(3)).encode()),
        b"\xef\xbb\xbf" + json.dumps(events(3)).encode(),
    ],
    ids=["array", "indented", "lines", "wrapped lines", "wrapped array", "gzip", "marked"],
)
def test_every_form_of_batch_arrives(onelogin: AzureMonitor, body: bytes) -> None:
    """Whatever form OneLogin posts in, 200 means that the events are in Azure Monitor."""
    answer = post(body)
    assert answer.status_code == 200
    assert b" delivered, 0 repeats, 0 set aside" in answer.get_body()
    assert uuids(onelogin) == ["uuid-0", "uuid-1", "uuid-2"]


def test_a_fault_of_the_program_makes_onelogin_send_again(
    onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error is a 503, and a log line that quotes no event."""

    def fail(*_: Any, **__: Any) -> bytes:
        raise KeyError("Ada Lovelace")

    monkeypatch.setattr(receiver, "read_events", fail)
    answer = post(events(1))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "KeyError" in caplog.text
    assert "Ada Lovelace" not in caplog.text


def test_one_object_arrives(onelogin: AzureMonitor) -> None:
    """A single event that is no array is taken too."""
    assert post(event(7)).status_code == 200
    assert uuids(onelogin) == ["uuid-7"]


def test_an_empty_array_is_fine(onelogin: AzureMonitor) -> None:
    """`[]` is answered 200, and nothing is sent."""
    assert post(b"[]").status_code == 200
    assert onelogin.server.count("/streams/") == 0


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer tökén",
        "Bearer \udcff",
    ],
)
def test_without_the_token_nothing_is_taken(
    onelogin: AzureMonitor, authorization: str | None
) -> None:
    """A missing or wrong token, or another scheme, is answered 401 with its challenge."""
    answer = post(events(1), authorization=authorization)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert uuids(onelogin) == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_in_any_case(onelogin: AzureMonitor, scheme: str) -> None:
    """RFC 9110 says that schemes are case-insensitive, and senders make use of it."""
    assert post(events(1), authorization=f"{scheme} {TOKEN}").status_code == 200


def test_the_secondary_token_is_valid_too(
    onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a token is changed both are taken, and a third is not."""
    monkeypatch.setenv("OneLoginBearerTokenSecondary", "ein-zweites-tökén")
    assert post(events(1), authorization=f"Bearer {TOKEN}").status_code == 200
    assert post(events(1, 1), authorization="Bearer ein-zweites-tökén").status_code == 200
    assert post(events(1, 2), authorization="Bearer third").status_code == 401


@pytest.mark.parametrize("secondary", [None, "only-the-second-token"])
def test_a_missing_token_setting_is_named(
    onelogin: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    secondary: str | None,
) -> None:
    """Without OneLoginBearerToken every request gets a 503, and the log names the setting."""
    monkeypatch.delenv("OneLoginBearerToken")
    if secondary:
        monkeypatch.setenv("OneLoginBearerTokenSecondary", secondary)
    answer = post(events(1), authorization="Bearer only-the-second-token")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    errors = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert any("OneLoginBearerToken " in entry.getMessage() for entry in errors)


def test_a_reference_that_did_not_resolve_is_no_token(
    onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of a Key Vault reference must never work as the token it stands for."""
    reference = "@Microsoft.KeyVault(SecretUri=https://acme.vault.azure.net/secrets/x)"
    monkeypatch.setenv("OneLoginBearerToken", reference)
    assert post(events(1), authorization=f"Bearer {reference}").status_code == 503
    assert "OneLoginBearerToken" in caplog.text


def test_a_missing_destination_is_named(
    onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a destination events are not taken: 503, and the log names the settings."""
    monkeypatch.delenv("LogsIngestionEndpoint")
    assert post(events(1)).status_code == 503
    assert "LogsIngestionEndpoint" in caplog.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", b"empty"),
        (b"\xff\xfe[]", b"UTF-8"),
        (b"user=1&event=2", b"neither"),
        (b"1\n2", b"no JSON object"),
        (b"17", b"bare value"),
        (b'"text"', b"bare value"),
        (b"null", b"bare value"),
        (b'[{"a":' * 3000, b"too deeply"),
        (b'[{"a":' * 900 + b"1" + b"}]" * 900, b"too deeply"),
    ],
)
def test_a_body_that_is_none_says_why(onelogin: AzureMonitor, body: bytes, words: bytes) -> None:
    """An invalid body gets a 400 that says why, and delivers nothing."""
    answer = post(body)
    assert answer.status_code == 400
    assert words in answer.get_body()
    assert uuids(onelogin) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_body_over_32_mb_is_too_large(onelogin: AzureMonitor, pack: Any) -> None:
    """Before or after gunzip, more than 32 MB is answered 413."""
    assert post(pack(b" " * (MAX_BYTES + 1))).status_code == 413


def test_what_is_no_object_goes_to_the_dead_letters(onelogin: AzureMonitor) -> None:
    """An array's odd elements are kept with a reason, while its events arrive."""
    answer = post([event(1), 7, "text", None, ["nested"], event(2)])
    assert answer.status_code == 200
    assert uuids(onelogin) == ["uuid-1", "uuid-2"]
    letters = list(dead_letters())
    assert [letter["record"] for letter in letters] == [7, "text", None, ["nested"]]
    assert {letter["stream"] for letter in letters} == {STREAM}
    assert all("no object" in letter["message"] for letter in letters)


@pytest.mark.parametrize("form", [b"[%s,%s]", b"%s\n%s"], ids=["array", "lines"])
def test_an_event_nested_to_the_limit_is_kept(onelogin: AzureMonitor, form: bytes) -> None:
    """JSON can be decoded a little deeper than it can be encoded: no depth is answered 503."""
    good = json.dumps(event(1)).encode()
    for depth in range(960, 1040, 8):
        deep = b'{"uuid":"deep-%d","x":%s}' % (depth, b"[" * depth + b"]" * depth)
        assert post(form % (deep, good)).status_code in (200, 400)
    kept = [entry.line.decode() for blob in listed() for entry in read_entries(blob)]
    for depth in range(960, 1040, 8):
        name = f"deep-{depth}"
        assert name in uuids(onelogin) or any(name in line for line in kept)


def test_an_array_without_a_single_object_is_still_safe(onelogin: AzureMonitor) -> None:
    """Nothing but odd elements is answered 200 too: they are in the dead letters."""
    assert post(b"[1, 2]").status_code == 200
    assert len(list(dead_letters())) == 2


def test_the_events_own_time_and_unknown_fields_arrive(onelogin: AzureMonitor) -> None:
    """TimeGenerated is the event's time; undeclared fields go to AdditionalFields."""
    post([event(1, brand_new_field={"a": [1]}, notes="Zoë 漢字")])
    (record,) = onelogin.records(STREAM)
    assert parse_time(record["TimeGenerated"]) == datetime(2026, 3, 5, 19, 13, 6, tzinfo=UTC)
    assert record["AdditionalFields"] == {"brand_new_field": {"a": [1]}}
    assert "brand_new_field" not in record
    assert record["notes"] == "Zoë 漢字"


def test_an_event_without_its_time_gets_that_of_receipt(
    onelogin: AzureMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Absent and unreadable times become the time of receipt, and the log says so once."""
    post([event(1, event_timestamp=None), event(2, event_timestamp="soon")])
    post([event(3, event_timestamp={"odd": 1})])
    now = datetime.now(UTC)
    for record in onelogin.records(STREAM):
        received = parse_time(record["TimeGenerated"])
        assert received is not None
        assert now - timedelta(minutes=1) < received <= now
    assert caplog.text.count("event_timestamp that can be read") == 1


def test_repeats_are_sent_once(onelogin: AzureMonitor) -> None:
    """An event that comes again, in one batch or in another one, arrives once."""
    first, second, third = events(3)
    assert post([first, second, first]).status_code == 200
    assert post([second, third]).status_code == 200
    assert uuids(onelogin) == ["uuid-0", "uuid-1", "uuid-2"]


def test_events_without_an_id_are_never_taken_for_repeats(onelogin: AzureMonitor) -> None:
    """Two events that nothing tells apart both arrive."""
    nameless = {"event_type_id": 5}
    post([nameless, nameless])
    post([nameless])
    assert len(onelogin.records(STREAM)) == 3


def test_large_posts_are_split(onelogin: AzureMonitor) -> None:
    """A post of several megabytes arrives whole, in order, in calls within the limit."""
    batch = [event(number, notes=f"{number:08d}" * 40) for number in range(8000)]
    assert post(batch).status_code == 200
    assert uuids(onelogin) == [each["uuid"] for each in batch]
    assert onelogin.server.count("/streams/") > 3


def test_a_record_over_the_limit_arrives_cut(onelogin: AzureMonitor) -> None:
    """An event larger than a call may be has its longest text cut, and says which."""
    post([event(1, notes="n" * 2_000_000), event(2)])
    large, small = onelogin.records(STREAM)
    assert len(orjson.dumps(large)) <= 1_000_000
    assert large["AdditionalFields"]["_truncated"] == ["notes"]
    assert small["uuid"] == "uuid-2"


def test_a_refused_event_is_kept_while_its_neighbours_arrive(onelogin: AzureMonitor) -> None:
    """An event that Azure Monitor refuses is a dead letter with Azure's reason; answer 200."""
    onelogin.refuse = lambda _stream, record: "it is bad" if record["uuid"] == "uuid-3" else None
    assert post(events(10)).status_code == 200
    assert uuids(onelogin) == [f"uuid-{n}" for n in range(10) if n != 3]
    (letter,) = dead_letters()
    assert letter["record"]["uuid"] == "uuid-3"
    assert (letter["stream"], letter["status"]) == (STREAM, 400)
    assert "it is bad" in letter["message"]


def test_a_rule_that_refuses_everything_loses_nothing(onelogin: AzureMonitor) -> None:
    """A schema mistake sends the events to the spool, not to the dead letters: 200."""
    onelogin.refuse = lambda _stream, _record: "no column fits"
    assert post(events(10)).status_code == 200
    assert list(dead_letters()) == []
    assert Spool().depth() == 1


def test_the_log_never_shows_contents(
    onelogin: AzureMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is posted, refused or kept, the log has no token, no name and no contents."""
    caplog.set_level(logging.DEBUG, logger="connectors")
    onelogin.refuse = lambda _stream, record: (
        f"bad {record['user_name']}" if record.get("uuid") == "uuid-3" else None
    )
    post([*events(10), "Ada Lovelace", 7])
    post(b"Ada Lovelace")
    post(events(1), authorization="Bearer Ada-Lovelace")
    assert "Lovelace" not in caplog.text
    assert TOKEN not in caplog.text


def test_answers_reach_back_through_the_functions_folder() -> None:
    """function.json lets only POST with the URL's key in, and DeliveryRetry watches the spool."""
    webhook = orjson.loads((ROOT / "OneLoginWebhook/function.json").read_bytes())
    trigger, answer = webhook["bindings"]
    assert (trigger["type"], trigger["authLevel"]) == ("httpTrigger", "function")
    assert trigger["methods"] == ["post"]
    assert answer["type"] == "http"
    retry = orjson.loads((ROOT / "DeliveryRetry/function.json").read_bytes())["bindings"][0]
    assert (retry["type"], retry["queueName"]) == ("queueTrigger", "delivery-retry")
    assert retry["connection"] == "AzureWebJobsStorage"
    host = orjson.loads((ROOT / "host.json").read_bytes())
    assert host["extensions"]["queues"]["messageEncoding"] == "none"
