"""What needs a look, the worst first: one cause is one problem, and is advised once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shared.status.model import AppStatus, Assessment, ConnectorStatus
from shared.telemetry.run import SEVERITY, RunState

# The badge of a problem of the app itself, where it does not fail.
LOOK = "look"
_MOST_PLACES = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """Trouble of one cause: ``where`` names the connectors and all streams that share it.

    ``words`` stand in the badge; '' shows the state.
    """

    where: str
    words: str
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class _Finding:
    place: str
    stream: str
    words: str
    assessment: Assessment


def problems(status: AppStatus) -> list[Problem]:
    """Collect what fails or is late; ten refused streams are one wrong token."""
    found = [_Finding("The app", "", LOOK, problem) for problem in status.problems]
    for connector in status.connectors:
        found += _of_connector(connector)
    trouble = [f for f in found if f.assessment.state in (RunState.FAILING, RunState.LATE)]
    trouble.sort(key=lambda finding: SEVERITY.index(finding.assessment.state))
    by_cause: dict[tuple[str, str], list[_Finding]] = {}
    for finding in trouble:
        # Messages about one cause differ by the path of the request.
        cause = finding.assessment.reason.rpartition(": ")[2]
        by_cause.setdefault((finding.assessment.state, cause), []).append(finding)
    return _advised_once([_problem(same) for same in by_cause.values()])


def _of_connector(connector: ConnectorStatus) -> Iterator[_Finding]:
    own = connector.assessment
    # What the whole connection suffers from, its streams suffer from too.
    whole = own.state == RunState.FAILING and connector.due is not None
    if connector.on and (whole or not connector.streams):
        yield _Finding(connector.title, "", "", own)
    for stream in connector.streams:
        if not (whole and stream.assessment.advice == own.advice):
            name = short(connector.name, stream.name)
            yield _Finding(connector.title, name, "", stream.assessment)


def _problem(same: Sequence[_Finding]) -> Problem:
    first = same[0]
    words = first.words if first.assessment.state == RunState.LATE else ""
    streams: dict[str, list[str]] = {}
    for finding in same:
        streams.setdefault(finding.place, []).append(finding.stream)
    places = [_place(place, names) for place, names in streams.items()]
    more = len(places) - _MOST_PLACES
    where = "; ".join(places[:_MOST_PLACES]) + (f"; and {more} more" if more > 0 else "")
    return Problem(where, words, first.assessment)


def _place(place: str, streams: Sequence[str]) -> str:
    names = ", ".join(name for name in streams if name)
    return f"{place}: {names}" if names not in ("", place) else place


def _advised_once(found: Sequence[Problem]) -> list[Problem]:
    """Refer to the first problem of an advice where it would stand there again."""
    first: dict[str, str] = {}
    told: list[Problem] = []
    for problem in found:
        advice = problem.assessment.advice
        if not advice or advice not in first:
            first[advice] = problem.where
            told.append(problem)
            continue
        again = replace(problem.assessment, advice=f"As for {first[advice]}, above.")
        told.append(replace(problem, assessment=again))
    return told


def short(connector: str, stream: str) -> str:
    """Return ``Events`` for the stream Custom-AcmeEvents under the heading of Acme."""
    name = stream.removeprefix("Custom-")
    return name.removeprefix(connector) or name
