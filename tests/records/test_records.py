"""Encoding of records: added, moved, removed and cut fields, and times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connections.registry import connectors
from shared.connectors.sentinelone import ACTIVITIES
from shared.records.codec import dump_json, parse_json
from shared.records.declared import MAX_RECORD_BYTES, declared_fields, declared_streams
from shared.records.encoder import encode
from shared.records.timestamps import isoformat, parse_time

SECRET_FIELDS = ACTIVITIES.redact
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DECLARED = frozenset({"id", "data", "TimeGenerated", "AdditionalFields", "event_name"})


def sent(record: dict[str, Any], declared: frozenset[str] | None = DECLARED) -> dict[str, Any]:
    body = encode(
        record,
        time_generated=NOW,
        declared=declared,
        added={"event_name": "Activities."},
        redact=SECRET_FIELDS,
    )
    outgoing = json.loads(body)
    assert isinstance(outgoing, dict)
    return outgoing


def test_a_record_of_declared_fields_goes_out_as_it_came() -> None:
    """Only TimeGenerated and the connector's own fields are new."""
    record = {"id": "1", "data": {"deep": [1, None, "é"]}}
    assert sent(record) == {
        "TimeGenerated": "2026-01-02T03:04:05.678901Z",
        "event_name": "Activities.",
        **record,
    }


def test_undeclared_fields_move_into_additional_fields() -> None:
    """Fields that Azure Monitor would drop move to where a query finds them."""
    outgoing = sent({"id": "1", "news": {"a": 1}, "more": None})
    assert outgoing["AdditionalFields"] == {"news": {"a": 1}, "more": None}
    assert "news" not in outgoing


def test_a_field_named_like_an_added_one_is_not_overwritten_into_nothing() -> None:
    """The vendor's own TimeGenerated, event_name or AdditionalFields moves aside."""
    theirs = {"TimeGenerated": "x", "event_name": "y", "AdditionalFields": {"z": 1}}
    outgoing = sent({"id": "1", **theirs})
    assert outgoing["AdditionalFields"] == theirs
    assert outgoing["event_name"] == "Activities."


def test_the_data_collector_gets_records_nested_as_they_came() -> None:
    """No field moves if the sink declares no fields."""
    outgoing = sent({"id": "1", "news": {"a": 1}}, declared=None)
    assert outgoing["news"] == {"a": 1}
    assert "AdditionalFields" not in outgoing


def test_the_data_collector_takes_no_senders_word_for_whose_a_record_is() -> None:
    """A record of the connection without a name has no Connection there, whatever it brings."""
    outgoing = sent({"id": "1", "Connection": "emea"}, declared=None)
    assert "Connection" not in outgoing
    assert outgoing["AdditionalFields"] == {"_Connection": "emea"}


@pytest.mark.parametrize("declared", [DECLARED, None])
def test_the_vendors_secrets_never_leave(declared: frozenset[str] | None) -> None:
    """The fields that a stream redacts are removed at any depth."""
    record = {
        "id": "1",
        "registrationToken": "s3cret",
        "data": {"licenseKey": "s3cret", "kept": [{"registrationToken": "s3cret", "a": 1}]},
    }
    outgoing = sent(record, declared)
    assert outgoing["data"] == {"kept": [{"a": 1}]}
    assert "s3cret" not in json.dumps(outgoing)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"id": "1", "data": "x" * 2_000_000}, id="one long string"),
        pytest.param({"id": "1", "data": {"a": ["é" * 700_000, "b" * 600_000]}}, id="two of them"),
        pytest.param({"id": "1", "data": "\x01" * 400_000}, id="escapes take six bytes each"),
        pytest.param({"id": "1", "new": "y" * 1_200_000}, id="an undeclared field"),
        pytest.param({"id": "1", "data": list(range(400_000))}, id="no string to cut"),
        pytest.param({f"k{i}": "z" * 200 for i in range(9_000)}, id="thousands of strings"),
    ],
)
def test_an_oversize_record_is_cut_to_fit_and_says_where(record: dict[str, Any]) -> None:
    """The record arrives, shorter, and AdditionalFields._truncated lists the cut values."""
    body = encode(record, time_generated=NOW, declared=DECLARED)
    outgoing = json.loads(body)
    assert len(body) <= MAX_RECORD_BYTES
    assert outgoing["AdditionalFields"]["_truncated"]
    assert outgoing["TimeGenerated"] == isoformat(NOW)


def test_only_the_longest_strings_are_cut() -> None:
    """A short neighbour of a long string stays whole, and the record stays nearly full."""
    outgoing = sent({"id": "1" * 300, "data": {"long": "x" * 2_000_000, "short": "y" * 500}})
    assert outgoing["id"] == "1" * 300
    assert outgoing["data"]["short"] == "y" * 500
    assert len(outgoing["data"]["long"]) > 990_000
    assert outgoing["AdditionalFields"]["_truncated"] == ["data.long"]


# Hypothesis also takes texts from the code under test, and these fields are redacted.
names = st.text().filter(lambda name: name not in SECRET_FIELDS)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_values, max_size=8))
def test_no_record_loses_a_value_whatever_its_shape(record: dict[str, Any]) -> None:
    """Every field keeps its value, in its place or in AdditionalFields."""
    outgoing = sent(record)
    aside = outgoing.get("AdditionalFields", {})
    for name, value in record.items():
        there = aside[name] if name in aside else outgoing[name]
        assert there == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-02-27T04:49:26.257525Z", datetime(2018, 2, 27, 4, 49, 26, 257525, tzinfo=UTC)),
        ("2018-02-27T04:49:26.25Z", datetime(2018, 2, 27, 4, 49, 26, 250000, tzinfo=UTC)),
        ("2018-02-27T04:49:26Z", datetime(2018, 2, 27, 4, 49, 26, tzinfo=UTC)),
        ("2018-02-27T04:49:26.2575259Z", datetime(2018, 2, 27, 4, 49, 26, 257525, tzinfo=UTC)),
        ("2021-11-17T16:00:37.374+0000", datetime(2021, 11, 17, 16, 0, 37, 374000, tzinfo=UTC)),
        ("2021-11-17T18:00:37+02:00", datetime(2021, 11, 17, 16, 0, 37, tzinfo=UTC)),
        ("2021-11-17T16:00:37", datetime(2021, 11, 17, 16, 0, 37, tzinfo=UTC)),
        ("2017-12-05 19:13:06 UTC", datetime(2017, 12, 5, 19, 13, 6, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31 23:59:60.5 UTC", datetime(2017, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
        (1519706966257, datetime(2018, 2, 27, 4, 49, 26, 257000, tzinfo=UTC)),
        ("1519706966257", datetime(2018, 2, 27, 4, 49, 26, 257000, tzinfo=UTC)),
        # As ISO-8601, the first eight digits are a day in 1712.
        ("1712101530123", datetime(2024, 4, 2, 23, 45, 30, 123000, tzinfo=UTC)),
        ("1712101530", datetime(2024, 4, 2, 23, 45, 30, tzinfo=UTC)),
        (1519706966, datetime(2018, 2, 27, 4, 49, 26, tzinfo=UTC)),
    ],
)
def test_every_form_of_time_that_the_vendors_write_is_read(text: object, moment: datetime) -> None:
    """Fractions of any length, zones in every spelling, epoch numbers, leap seconds."""
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "soon", True, [], {}, 1e300, 10**400, "9" * 5000, "2018-13-01T00:00:00Z"),
        # In UTC, before the year 1 or after 9999.
        *("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:60Z"),
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    """The result is None, never an invented time."""
    assert parse_time(value) is None


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_time_written_is_read_back_the_same(naive: datetime) -> None:
    """A time in a checkpoint is the same time when read, to the microsecond."""
    moment = naive.replace(tzinfo=UTC)
    assert parse_time(isoformat(moment)) == moment
    assert parse_time(isoformat(moment + timedelta(hours=1))) != moment


def test_no_number_makes_a_body_that_is_not_json() -> None:
    """Infinity beside an integer over 64 bits: one such record would have its batch refused."""
    value = parse_json(b'{"a": -1e999, "b": 1.5, "c": 1208925819614629174706176}')
    assert dump_json(value) == b'{"a":null,"b":1.5,"c":1208925819614629174706176}'


def test_json_that_is_only_almost_valid_is_read_all_the_same() -> None:
    """A lone surrogate or NaN in one record does not hold up the whole stream."""
    assert parse_json(b'{"a": "\\ud800", "b": NaN, "c": 1208925819614629174706176}') == {
        "a": "\ud800",
        "b": None,
        "c": 2**80,
    }
    with pytest.raises(ValueError, match="Expecting value"):
        parse_json(b"<html>")


def test_every_stream_of_the_code_is_declared() -> None:
    """An undeclared stream raises: Azure Monitor would drop all of its fields."""
    for connector in connectors():
        for stream in connector.streams:
            assert {"TimeGenerated", "AdditionalFields"} <= declared_fields(stream.name)
            assert declared_streams()[stream.name].connector == connector.name
