"""Dead letters on the status page: by cause, looked at without values, discarded, acknowledged."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from shared.delivery.dead_letters import DeadLetters, Refused
from tests.app import App, ask

STREAM = "Custom-OneLogin"
CAUSE = "HTTP 400 InvalidRecord"
PERSON = b'{"user_name":"Ada Lovelace","n":7}'


@pytest.fixture
def letters(app: App) -> App:
    """Two refused records, one of another connection, and one that is no event."""
    DeadLetters().put(STREAM, [Refused(PERSON, 400, "InvalidRecord: Ada Lovelace is too long")] * 2)
    DeadLetters().put(STREAM, [Refused(PERSON, 400, "InvalidRecord: no")], "emea")
    DeadLetters().put(STREAM, [Refused(b"7", 0, "An element is no object")])
    return app


def press(**asked: str) -> dict[str, Any]:
    answer = ask("POST", {name.replace("_", "-"): value for name, value in asked.items()})
    assert answer.status_code == 200, answer.get_body()
    found: dict[str, Any] = json.loads(answer.get_body())
    return found


def read(**asked: str) -> dict[str, Any]:
    answer = ask("GET", {name.replace("_", "-"): value for name, value in asked.items()})
    assert answer.status_code == 200, answer.get_body()
    found: dict[str, Any] = json.loads(answer.get_body())
    return found


def left(app: App) -> dict[tuple[str, str], int]:
    counts = app.status()["dead_letters"]["counts"]
    return {(c["cause"], c["connection"]): c["records"] for c in counts}


def test_a_program_lists_and_shows_them(letters: App) -> None:
    """By cause, with names and types of fields; no value of a record, no message with one."""
    listed = read(dead_letters="list")
    assert {(g["cause"], g["connection"]): g["records"] for g in listed["groups"]} == left(letters)
    assert listed["lines"] == []
    shown = read(dead_letters="show", stream=STREAM, cause="An element is no object")
    (line,) = shown["lines"]
    assert line["never"] == "it is no JSON object, so no table takes it"
    assert "Lovelace" not in json.dumps([listed, read(dead_letters="show")])


def test_acknowledging_ends_needs_a_look_until_others_come(letters: App) -> None:
    """They stay where they are, and are sent again as before."""
    letters.poll_jira()
    assert any("4 records" in p["reason"] for p in letters.status()["problems"])
    assert "4 dead letters" in press(dead_letters="acknowledge")["message"]
    assert letters.status()["problems"] == []
    assert sum(left(letters).values()) == 4
    assert press(dead_letters="acknowledge")["changed"] is False
    DeadLetters().put(STREAM, [Refused(PERSON, 400, "InvalidRecord: no")])
    assert any("1 record could" in p["reason"] for p in letters.status()["problems"])


def test_those_of_a_cause_are_discarded_for_good(letters: App) -> None:
    """Those of another connection stay where one is named."""
    told = press(dead_letters="discard", stream=STREAM, cause=CAUSE, connection="")
    assert told["message"] == "2 dead letters deleted for good."
    assert left(letters) == {(CAUSE, "emea"): 1, ("An element is no object", ""): 1}
    answer = ask("POST", {"dead-letters": "discard", "stream": STREAM, "cause": "HTTP 40"})
    assert answer.status_code == 400
    assert CAUSE in answer.get_body().decode()


def test_one_is_discarded_by_its_place(letters: App) -> None:
    """As show names it; another of the same content stays."""
    line, *_ = read(dead_letters="show", stream=STREAM, cause=CAUSE, connection="")["lines"]
    press(dead_letters="discard", blob=line["blob"], line=line["line"])
    assert left(letters)[CAUSE, ""] == 1


def test_sending_again_says_why_the_rest_was_left(letters: App) -> None:
    """How many for each reason."""
    letters.settings.setenv("OneLoginBearerToken__emea", "another-token-than-the-first")
    told = press(dead_letters="send")
    assert (told["sent"], told["left"]) == (3, 1)
    assert told["message"] == "1 stays, since it is no JSON object, so no table takes it"


def test_the_page_shows_them_with_buttons(letters: App) -> None:
    """Each cause leads to its samples; a button of that page does what it says, and leads back."""
    page = ask("GET", {"code": "k"}, accept="text/html").get_body().decode()
    chosen = {"dead-letters": "show", "stream": STREAM, "cause": CAUSE, "connection": "emea"}
    assert f'href="?code=k&amp;{urlencode(chosen).replace("&", "&amp;")}"' in page.replace(
        "%20", "+"
    )
    assert "Delete all 2 for good" in page
    shown = ask("GET", {"code": "k", **chosen}, accept="text/html").get_body().decode()
    assert "&lt;text of 12 characters&gt;" in shown
    assert "Lovelace" not in shown
    body = urlencode({**chosen, "dead-letters": "discard"}).encode()
    pressed = ask("POST", {"code": "k", **chosen}, accept="text/html", body=body)
    assert pressed.status_code == 303
    assert set(pressed.headers["Location"].lstrip("?").split("&")[0:1]) == {"code=k"}
    assert "dead-letters" not in pressed.headers["Location"]
    assert (CAUSE, "emea") not in left(letters)
    tested = ask("POST", {"code": "k", **chosen}, accept="text/html", body=b"pause=Jira")
    assert tested.status_code == 303
