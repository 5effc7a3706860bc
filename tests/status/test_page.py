"""The page without a browser: its templates, contrast, words, numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from shared.connections.registry import polled, received
from shared.delivery.backlog import DeadLetterStatus, Queue
from shared.delivery.redrive import RedriveReport
from shared.diagnostics import steps
from shared.diagnostics.steps import FAILED, PASSED, SKIPPED, Step
from shared.status.model import AppStatus, Assessment, ConnectorStatus, StreamStatus
from shared.status.page import TEMPLATES, Result, environment, page, style
from shared.telemetry.humanize import many, size, span
from shared.telemetry.run import RunState

EVIL = "<script>'\"&</script>"
ESCAPED = "&lt;script&gt;&#39;&#34;&amp;&lt;/script&gt;"


def _status(state: RunState = RunState.OK) -> AppStatus:
    """A status of one connector, whose one stream is in ``state``."""
    assessment = Assessment(state, "a reason", "some advice")
    stream = StreamStatus("Custom-AcmeEvents", assessment)
    return AppStatus(
        state=state,
        at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        version="1.0.0",
        destination="Logs Ingestion API",
        destination_address="ingest.example",
        problems=[],
        connectors=[ConnectorStatus("Acme", True, assessment, streams=[stream])],
        shown="",
        spool=Queue(0),
        poison=Queue(None),
        dead_letters=DeadLetterStatus(0),
    )


@pytest.mark.parametrize("state", RunState)
def test_every_state_has_a_headline_a_drawing_and_a_colour(state: RunState) -> None:
    """The templates know each state of a run; its class is in the style sheet."""
    shown = page(_status(state))
    (colour,) = re.findall(r'class="card headline (\w+)"', shown)
    assert f".state.{colour} " in style()
    assert shown.count(f'<span class="state {colour}"><svg') >= 2
    assert f"</svg>{state}</span>" in shown


def test_a_template_fails_on_a_name_that_it_is_not_given() -> None:
    """A typo in a template is an error in a test, not a gap on the page."""
    with pytest.raises(UndefinedError):
        environment().from_string("{{ status.stat }}").render(status=_status())


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.iterdir()))
def test_no_template_switches_escaping_off(template: str) -> None:
    """No value is marked safe in a template, and no block leaves autoescape."""
    source = (TEMPLATES / template).read_text(encoding="utf-8")
    assert re.findall(r"\|\s*safe\b|autoescape|Markup", source) == []


def test_results_of_buttons_are_escaped() -> None:
    """Text of a connection test, of a redrive and of a notice is shown as text."""
    found = [Step(EVIL, EVIL, FAILED, 0.5, EVIL, EVIL), Step("a", "b", SKIPPED, 0.0, EVIL)]
    shown = page(
        _status(),
        Result(
            test=steps.TestReport(EVIL, False, 1.5, found),
            redriven=RedriveReport(EVIL, 2_000, 1, EVIL),
            notice=EVIL,
        ),
    )
    assert "<script" not in shown
    assert shown.count(ESCAPED) == 9
    assert "2 steps, 1 failed, in 1.5 s" in shown
    assert "2,000 sent, 1 left" in shown


def test_a_passed_test_says_so() -> None:
    """The outcome of a test is in words beside its colour."""
    report = steps.TestReport("acme", True, 1.0, [Step("a", "b", PASSED, 1.0)])
    assert "1 step, all passed, in 1.0 s" in page(_status(), Result(test=report))


def test_each_connector_has_a_button() -> None:
    """The buttons come from the connectors that there are."""
    names = [connector.name for connector in polled()] + [source.name for source in received()]
    buttons = re.findall(r'name="test" value="(\w+)"[^>]*>([^<]+)<', page(_status()))
    assert dict(buttons) == {
        "all": "Test all",
        "destination": "Destination",
        **{name.lower(): name for name in names},
    }


def _palettes() -> list[dict[str, str]]:
    """The light and the dark colours of page.css."""
    found = re.findall(r":root \{(.+?)\}", style(), re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in found]


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
def test_every_text_has_the_contrast_that_accessibility_asks_for(palette: dict[str, str]) -> None:
    """At least 4.5 to 1 for each colour of text on each ground that it stands on."""
    pairs = [(text, ground) for text in ("ink", "muted") for ground in ("card", "ground")]
    pairs += [(state, f"{state}-soft") for state in ("ok", "busy", "late", "failing", "off")]
    pairs += [("button-ink", "button"), ("button", "card")]
    low = {pair: _contrast(palette[pair[0]], palette[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3_599, "59 minutes"),
        (3_600, "1 hour"),
        (9_000, "2 hours 30 minutes"),
        (90_000, "1 day 1 hour"),
        (86_400 + 120, "1 day"),
    ],
)
def test_spans_read_as_people_say_them(seconds: float, words: str) -> None:
    """One or two units, the largest first."""
    assert span(seconds) == words


@given(st.floats(min_value=0, max_value=1e9))
def test_a_span_never_says_more_than_two_things(seconds: float) -> None:
    """However long, at most two numbers, none of them zero beside another."""
    numbers = re.findall(r"\d+", span(seconds))
    assert 1 <= len(numbers) <= 2
    assert "0" not in numbers or len(numbers) == 1


def test_sizes_and_counts_read_well() -> None:
    """Decimal units, and no plural of one."""
    assert [size(n) for n in (0, 999, 1_000, 12_345, 999_950, 5_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "12.3 KB",
        "1.0 MB",
        "5.0 GB",
    ]
    assert (many(1, "record"), many(2_000, "record")) == ("1 record", "2,000 records")
