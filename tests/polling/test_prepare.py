"""Records from an answer's bytes to a batch: as they came, or moved, cut and cleaned."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from shared.connectors.sentinelone.answers import Listed
from shared.polling.prepare import PreparedPage, RecordPreparer
from shared.records.declared import MAX_RECORD_BYTES
from shared.records.encoder import Encoder
from shared.records.raw import as_record, decoded, parse_answer, records_of
from shared.records.reader import Reader
from shared.records.timestamps import utc_now
from shared.source.stream import Page, Stream
from shared.state.fingerprints import fingerprint

STREAM = Stream(
    "Custom-Test",
    "test",
    "seen.at",
    "happened",
    (("id", "seen.at"), ("uuid",)),
    added={"event_name": "Test."},
    redact=("registrationToken", "licenseKey"),
)
DECLARED = frozenset(
    {"TimeGenerated", "event_name", "AdditionalFields", "id", "seen", "happened", "text"}
)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "id": "7",
    "seen": {"at": "2026-03-04T12:00:00Z", "by": ["a", "b"]},
    "happened": "2026-03-04T11:59:00Z",
    "text": 'ß ☃ \U0001f600 \\ " / \t',
}


def prepared(*records: bytes, declared: frozenset[str] | None = DECLARED) -> PreparedPage:
    """Prepare records in the vendor's own JSON."""
    answer = parse_answer(b'{"data":[%s],"pagination":{}}' % b",".join(records), Listed)
    found = records_of(answer["data"])
    assert found is not None
    return RecordPreparer(STREAM, declared)(Page(found, 0))


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_record_goes_out_in_the_very_bytes_it_came_in() -> None:
    """Numbers keep their digits, names their order, and nothing is decoded that is not needed."""
    odd = b'"n":1.10000000000000000001,"big":123456789012345678901234567890,"e":"\\u00df"}'
    record = dumped(RECORD)[:-1] + b"," + odd
    page = prepared(record, declared=DECLARED | {"n", "big", "e"})
    begins = b'{"TimeGenerated":"2026-03-04T11:59:00Z","event_name":"Test.",'
    assert page.bodies == [begins + record[1:]]
    assert page.times == [NOON]
    assert page.fingerprints == [fingerprint(b"7\n2026-03-04T12:00:00Z", NOON)]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
names = st.sampled_from([*sorted(DECLARED), "uuid", "other", "registrationToken", "ï.", "", 'a"\\'])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(names, values), st.sampled_from([DECLARED, None]))
def test_it_is_encoded_as_if_it_had_been_decoded(
    record: dict[str, Any], declared: frozenset[str] | None
) -> None:
    """Whatever its fields: the quick way and the way through objects say the same."""
    page = prepared(dumped(record), declared=declared)
    (body,) = page.bodies
    time = datetime.fromisoformat(json.loads(body)["TimeGenerated"])
    expected = Encoder(declared, STREAM.added, STREAM.redact)(record, time)
    assert json.loads(body) == json.loads(expected)


def test_fields_that_are_not_declared_move() -> None:
    """Azure Monitor would drop them without a word."""
    (body,) = prepared(dumped({**RECORD, "new": [1, {"a": None}]})).bodies
    assert json.loads(body)["AdditionalFields"] == {"new": [1, {"a": None}]}
    assert "new" not in json.loads(body)


def test_the_names_of_added_fields_are_taken() -> None:
    """With and without a declaration, a record's own field of that name moves."""
    for declared in (DECLARED, None):
        (body,) = prepared(dumped({**RECORD, "event_name": "x"}), declared=declared).bodies
        assert json.loads(body)["event_name"] == "Test."
        assert json.loads(body)["AdditionalFields"] == {"event_name": "x"}


def test_secrets_stay_behind() -> None:
    """Only the record that has one is touched, however deep it lies."""
    secret = {**RECORD, "text": [{"licenseKey": "k", "n": 1}]}
    first, second = prepared(dumped(RECORD), dumped(secret)).bodies
    assert first.endswith(dumped(RECORD)[1:])
    assert json.loads(second)["text"] == [{"n": 1}]


@pytest.mark.parametrize("declared", [DECLARED, None])
def test_a_secret_hides_behind_no_escape(declared: frozenset[str] | None) -> None:
    """A name may be written with escaped letters, at the top or inside."""
    for text in (b'{"text":{"license\\u004bey":"k"}}', b'{"\\u006cicenseKey":"k","id":"1"}'):
        (body,) = prepared(text, declared=declared).bodies
        assert b'"k"' not in body


def test_a_place_that_is_taken_is_made() -> None:
    """A record may have ``AdditionalFields`` of its own beside a field that moves into it."""
    record = {"id": "1", "AdditionalFields": {"a": 1}, "TimeGenerated": "x"}
    for declared in (DECLARED, None):
        (body,) = prepared(dumped(record), declared=declared).bodies
        moved = {"AdditionalFields": {"a": 1}, "TimeGenerated": "x"}
        assert json.loads(body)["AdditionalFields"] == moved


def test_an_oversize_record_is_cut() -> None:
    """And says so."""
    (body,) = prepared(dumped({**RECORD, "text": "x" * 1_500_000})).bodies
    assert len(body) <= MAX_RECORD_BYTES
    assert json.loads(body)["AdditionalFields"]["_truncated"] == ["text"]


@pytest.mark.parametrize("empty", [b"{}", b"{ }", b"{" + b" \n" * 40 + b"}"])
def test_an_empty_record_is_a_record(empty: bytes) -> None:
    """It is known by its content, and timed by its receipt."""
    page = prepared(empty, declared=None)
    assert list(json.loads(page.bodies[0])) == ["TimeGenerated", "event_name"]
    assert page.times == [None]
    assert page.fingerprints == [fingerprint(b"{}", None)]


def test_the_first_key_that_is_whole_names_a_record() -> None:
    """A part that is missing or empty makes the next key count."""
    for name in (None, ""):
        page = prepared(dumped({**RECORD, "id": name, "uuid": "u-1"}))
        assert page.fingerprints == [fingerprint(b"u-1", NOON)]


@pytest.mark.parametrize("text", ["NaN", '"\\ud800"', "[1e999]"])
def test_what_only_the_standard_library_reads_is_a_record_all_the_same(text: str) -> None:
    """One odd value holds up no stream."""
    page = prepared(dumped(RECORD), b'{"id":"8","text":%s}' % text.encode())
    assert [json.loads(body)["id"] for body in page.bodies] == ["7", "8"]


@pytest.mark.parametrize("declared", [DECLARED, None])
def test_a_number_beyond_all_bounds_holds_up_no_stream(declared: frozenset[str] | None) -> None:
    """Also where the field is read for a key or a time."""
    records = (
        b'{"id":1e999,"uuid":"u"}',
        b'{"id":"8","seen":{"at":"2026-03-04T12:00:00Z","n":1e999}}',
    )
    page = prepared(*records, declared=declared)
    assert [bool(time) for time in page.times] == [False, True]
    assert [json.loads(body)["event_name"] for body in page.bodies] == ["Test.", "Test."]


def test_half_a_surrogate_in_bytes_holds_up_no_stream() -> None:
    """Some vendors' UTF-8 has them; the rest of the text stays."""
    (body,) = prepared(b'{"id":"1","text":"a\xed\xa0\xbdb"}').bodies
    assert json.loads(body)["text"] == "a?b"


def test_an_answer_of_another_shape_is_decoded_whole() -> None:
    """An error in a 200, for example; anything but JSON raises."""
    assert parse_answer(b'{"errors":[1]}', Listed) == {"errors": [1]}
    assert parse_answer(b'{"data":{"sites":[]}}', Listed) == {"data": {"sites": []}}
    with pytest.raises(ValueError, match=r".+"):
        parse_answer(b'{"data":[{"a":1}', Listed)
    with pytest.raises(RecursionError):
        parse_answer(b'{"data":' + b"[" * 200_000, Listed)


@pytest.mark.parametrize("data", [b"[1]", b'[{"a":1},null]', b"{}", b"7"])
def test_what_is_no_list_of_objects_is_none(data: bytes) -> None:
    """Left as it is or decoded."""
    assert records_of(parse_answer(b'{"data":%s}' % data, Listed)["data"]) is None


def test_a_reader_finds_nothing_in_what_is_no_object() -> None:
    """A path may lead through a string or a null."""
    read = Reader(["a.b", "c"], None, frozenset())
    odd: list[Any] = ["text", None, [], {}, {"b": None}]
    for value in odd:
        (values,), (moved,) = read([as_record({"a": value})])
        assert moved == ()
        assert read.getter("a.b")(values) is None
        assert read.getter("c")(values) is None


@pytest.mark.parametrize("declared", [DECLARED, None])
def test_a_record_without_a_time_goes_out_as_it_came_too(declared: frozenset[str] | None) -> None:
    """All of its digits, that is."""
    record = b'{"id":"1", "text":1.10000000000000000001}'
    (body,) = prepared(record, declared=declared).bodies
    assert body.endswith(record[1:])


def test_a_number_of_thousands_of_digits_holds_up_no_stream() -> None:
    """Nor do its digits get lost."""
    digits = "7" * 5_000
    (body,) = prepared(b'{"id":"1","new":%s}' % digits.encode()).bodies
    assert b'"AdditionalFields":{"new":%s}' % digits.encode() in body


def test_a_page_takes_little_more_memory_than_its_bytes() -> None:
    """Also where the time stands in an object that has to be decoded for it."""
    inside = {"at": "2026-03-04T12:00:00Z", "parts": [{"a": n, "b": [n] * 5} for n in range(100)]}
    record = dumped({**RECORD, "seen": inside})
    answer = parse_answer(b'{"data":[%s]}' % b",".join([record] * 2_000), Listed)
    page = Page(records_of(answer["data"]) or [], 0)
    prepare = RecordPreparer(STREAM, DECLARED)
    tracemalloc.start()
    prepare(page)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 2_000 * len(record)


def test_a_record_outlives_the_answer_it_was_cut_out_of() -> None:
    """Its bytes are its answer's, which it keeps."""
    (record,) = records_of(parse_answer(b'{"data":[{"id":1}]}', Listed)["data"]) or []
    assert decoded(record) == {"id": 1}


def by_objects(text: bytes, declared: frozenset[str] | None = DECLARED) -> Any:
    """The record as it goes out when it is decoded; its time is left out."""
    expected = Encoder(declared, STREAM.added, STREAM.redact)(decoded(Raw(text)), utc_now())
    return {**json.loads(expected), "TimeGenerated": None}


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":"1","new":{"x":[1,2]},"text":"t"}',
        b'{"new":1,"id":"1"}',
        b'{"id":"1","new":null}',
        b'{"id":"1","text":{"new":1},"new":1}',
        b'{"id":"1","text":{"new":1},"n\\u0065w":1}',
        b'{"id":"1","text":{"new":1},"new" : 1}',
        b'{ "id" : "1" , "new" : 1 }',
        b'{"id":"1","new":1,"new":2}',
        b'{"id":"new","new":1}',
        b'{"id":"1","text":"\\"new\\":1","new":1}',
        b'{"id":"1","new":1,"newer":"n","AdditionalFields":{"a":1},"TimeGenerated":"x"}',
        b'{"id":"1","n\xc3\xa9w":"\xc3\xa9","new":"\\u00e9"}',
        b'{"id":"1","new":{"licenseKey":"k","n":1}}',
        b'{"id":"1","n\\/w":1,"text":{"a":0,"n/w":1}}',
        b'{"id":"1","n\\u00e9w":1,"text":{"a":0,"n\xc3\xa9w":1}}',
        b'{"id":"1","n\\"w":1,"n\\\\w":2}',
        b'{"id":"1","n\\u0009w":1,"text":{"a":0,"n\\tw":1}}',
    ],
)
def test_a_learned_field_moves_as_if_it_had_been_decoded(text: bytes) -> None:
    """Each record after the first with a new field is cut, not decoded: with the same outcome."""
    first, second, third = prepared(text, b'{"id":"2","new":0}', text).bodies
    for body in (first, third):
        assert {**json.loads(body), "TimeGenerated": None} == by_objects(text)
    assert json.loads(second)["AdditionalFields"] == {"new": 0}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.dictionaries(names, values), min_size=2, max_size=6))
def test_learning_changes_no_record(records: list[dict[str, Any]]) -> None:
    """However the fields of one page's records differ."""
    page = prepared(*map(dumped, records), *map(dumped, records))
    for record, body in zip([*records, *records], page.bodies, strict=True):
        assert {**json.loads(body), "TimeGenerated": None} == by_objects(dumped(record))


def test_made_up_names_do_not_grow_the_decoder_without_end() -> None:
    """A vendor that uses ids for names costs time, not memory."""
    texts = [b'{"id":"1","k%d":%d}' % (n, n) for n in range(300)]
    page = prepared(*texts)
    for number, body in enumerate(page.bodies):
        assert json.loads(body)["AdditionalFields"] == {f"k{number}": number}


@pytest.mark.parametrize(
    ("record", "staying"),
    [
        (b'{"new":{"id":2},"id":"1"}', b'"id":"1"'),
        (b'{"id":"1","new":{"id":2}}', b'"id":"1"'),
        (b'{"id":"1","new":{"id":2},"text":"\\u00fc"}', b'"id":"1","text":"\\u00fc"'),
        (b'{"id":"new","new":{"id":2}}', b""),
        (b'{"id":"1","text":{"new":{"id":2}},"new":{"id":2}}', b""),
        (b'{"new":1,"id":"1","new":{"id":2}}', b""),
        (b'{"id":"1", "new":{"id":2}}', b""),
        (b'{"id":"1","new" :{"id":2}}', b""),
        (b'{"id":"\\u006e\\u0065w","new":{"id":2}}', b""),
        (b'{"new":{"id":2}}', b""),
    ],
)
def test_a_field_is_cut_out_where_its_place_is_sure(record: bytes, staying: bytes) -> None:
    """With one comma, wherever it stands; else the record is left to the decoder."""
    moving = [[("new", b'{"id":2}')]]
    (body,) = Encoder(DECLARED, STREAM.added).encode_moving([record], [NOON], moving)
    begins = b'{"TimeGenerated":"2026-03-04T12:00:00Z","event_name":"Test.",'
    whole = begins + staying + b',"AdditionalFields":{"new":{"id":2}}}'
    assert body == (whole if staying else b"")


def test_a_named_connection_stands_among_the_additional_fields() -> None:
    """Beside what moves there; with the Data Collector API it has a column of its own."""
    encoder = Encoder(DECLARED, STREAM.added, STREAM.redact, "emea")
    (body,) = encoder.encode_verbatim([Raw(b'{"id":"1","new":[1]}')], [utc_now()])
    assert json.loads(body)["AdditionalFields"] == {"Connection": "emea"}
    record = Raw(b'{"id":"1","new":[1]}')
    (moved,) = encoder.encode_moving([record], [utc_now()], [[("new", b"[1]")]])
    assert json.loads(moved)["AdditionalFields"] == {"Connection": "emea", "new": [1]}
    assert json.loads(moved)["id"] == "1"
    assert json.loads(encoder({"id": "1", "new": [1]}, utc_now())) == {
        **json.loads(moved),
        "TimeGenerated": ANY,
    }
    nested = Encoder(None, STREAM.added, STREAM.redact, "emea")
    assert json.loads(nested({"id": "1"}, utc_now()))["Connection"] == "emea"
