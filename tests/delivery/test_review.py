"""Dead letters are looked at without their contents, discarded and acknowledged."""

from __future__ import annotations

import pytest

from shared.azure import storage as clients
from shared.delivery import backlog, review
from shared.delivery.dead_letter_blobs import leased, listed
from shared.delivery.dead_letters import OTHER_CAUSES, DeadLetters, Refused
from shared.delivery.redelivery import deliver_message
from shared.delivery.redrive import DEAD_LETTERS, redrive
from shared.delivery.review import (
    Selection,
    acknowledge,
    dead_letter_groups,
    discard,
    discard_line,
    look_at,
)
from shared.delivery.sink import sink_of
from shared.delivery.spool import CONTAINER, Message, Spool
from shared.errors import StorageUnavailable

STREAM = "Custom-OneLogin"
NO_OBJECT = "An element of the body is no object"
PERSON = b'{"user_name":"Ada Lovelace","n":7,"ok":true,"none":null,"list":[{"ip":"192.0.2.7"}]}'


def test_dead_letters_are_listed_by_stream_connection_and_cause(storage: str) -> None:
    """The most frequent cause comes first, from metadata alone."""
    DeadLetters().put(STREAM, [Refused(PERSON, 400, "InvalidRecord: no")] * 2, "emea")
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT)] * 3)
    groups = dead_letter_groups()
    assert [(g.connection, g.cause, g.records, g.acknowledged) for g in groups] == [
        ("", NO_OBJECT, 3, False),
        ("emea", "HTTP 400 InvalidRecord", 2, False),
    ]
    assert groups[0].oldest <= groups[0].newest


def test_a_dead_letter_is_shown_without_its_values(storage: str) -> None:
    """Field names and types are shown, and why it can never be sent; no name, no address."""
    DeadLetters().put(STREAM, [Refused(PERSON, 400, "InvalidRecord: Ada Lovelace is too long")])
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT)])
    lines = {line.cause: line for line in look_at(Selection(stream=STREAM))}
    shown = lines["HTTP 400 InvalidRecord"]
    assert shown.record == {
        "user_name": "<text of 12 characters>",
        "n": "<number>",
        "ok": "<true or false>",
        "none": None,
        "list": [{"ip": "<text of 9 characters>"}, "<1 in all>"],
    }
    assert shown.never == ""
    assert "Ada" not in repr(lines)
    assert lines[NO_OBJECT].never == "it is no JSON object, so no table takes it"


def test_one_is_discarded_and_the_others_stay(
    storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two that are alike one goes at a time; a log line says that a person did it."""
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT), Refused(b"7", 0, NO_OBJECT)])
    line, _ = look_at(Selection())
    assert discard_line(line.blob, line.line) == 1
    assert "dead_letters_discarded" in caplog.text
    assert [each.line for each in look_at(Selection())] == [line.line]
    assert discard_line(line.blob, line.line) == 1
    assert discard_line(line.blob, line.line) == 0
    assert listed() == []


def test_a_cause_is_discarded(storage: str) -> None:
    """Only dead letters of that stream, cause and connection go."""
    mixed = [Refused(b"7", 0, NO_OBJECT), Refused(PERSON, 400, "InvalidRecord: no")]
    DeadLetters().put(STREAM, mixed)
    DeadLetters().put(STREAM, mixed, "emea")
    DeadLetters().put("Custom-JiraAudit", mixed)
    assert discard(Selection(STREAM, NO_OBJECT, "")) == 1
    assert discard(Selection(STREAM, NO_OBJECT, "")) == 0
    assert len(look_at(Selection())) == 5
    assert backlog.dead_letters().records == 5


def test_what_another_request_has_is_not_discarded(storage: str) -> None:
    """While a redrive has the blob, discarding says to try again."""
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT)])
    (blob,) = listed()
    with leased(blob), pytest.raises(StorageUnavailable, match="try again"):
        discard(Selection())
    assert discard(Selection()) == 1


def test_a_discarded_spooled_message_takes_its_blob_along(storage: str) -> None:
    """Nothing else would ever delete the blob of a message that was set aside."""
    Spool().put(STREAM, [b'{"uuid":"1","notes":"%s"}' % bytes(range(65, 91)).hex().encode()])
    blob = clients.container(CONTAINER)
    if not blob.exists():
        blob.create_container()
    blob.upload_blob(f"{STREAM}/large", b"")
    text = Message(STREAM, blob=f"{STREAM}/large", rounds=3).text()
    deliver_message(text, sink_of, times_shown=4)
    assert discard(Selection()) == 1
    assert list(blob.list_blob_names()) == []


def test_dead_letters_need_no_look_once_somebody_looked(storage: str) -> None:
    """Acknowledged ones stay and are counted, later ones need a look again."""
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT)] * 3)
    assert backlog.dead_letters().unacknowledged == 3
    assert acknowledge() == 3
    assert acknowledge() == 0
    redrive(DEAD_LETTERS)  # what it leaves was looked at
    status = backlog.dead_letters()
    assert (status.records, status.unacknowledged) == (3, 0)
    assert [group.acknowledged for group in dead_letter_groups()] == [True]
    DeadLetters().put(STREAM, [Refused(b"8", 0, NO_OBJECT)])
    assert backlog.dead_letters().unacknowledged == 1
    assert [group.acknowledged for group in dead_letter_groups()] == [False]


def test_what_another_request_wrote_since_the_listing_stays(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at blobs that were listed before another one discarded a cause brings it not back."""
    DeadLetters().put(STREAM, [Refused(b"7", 0, NO_OBJECT), Refused(PERSON, 400, "Bad: no")])
    before = listed()
    assert discard(Selection(cause=NO_OBJECT)) == 1
    monkeypatch.setattr(review, "listed", lambda: before)
    assert acknowledge() == 1
    monkeypatch.undo()
    assert [group.cause for group in dead_letter_groups()] == ["HTTP 400 Bad"]


def test_causes_beyond_the_most_frequent_are_counted_together(storage: str) -> None:
    """Each record is counted, shown and discarded, however many causes a blob has."""
    refused = [Refused(b"%d" % number, 0, f"Cause {number}") for number in range(25)]
    DeadLetters().put(STREAM, refused)
    assert backlog.dead_letters().records == 25
    groups = {group.cause: group.records for group in dead_letter_groups()}
    assert groups[OTHER_CAUSES] == 5
    assert len(look_at(Selection(cause=OTHER_CAUSES))) == 5
    assert len(look_at(Selection(cause="Cause 24"))) == 1
    assert discard(Selection(cause=OTHER_CAUSES)) == 5
    assert backlog.dead_letters().records == 20


def test_the_same_body_of_two_connections_is_kept_for_each(storage: str) -> None:
    """Another connection's dead letters are not this one's."""
    for connection in ("", "emea", "emea"):
        DeadLetters().put_once(STREAM, [Refused(b"x", 0, "Not JSON")], connection)
    assert sorted(blob.connection for blob in listed()) == ["", "emea"]
