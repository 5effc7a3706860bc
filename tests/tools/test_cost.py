"""A month's cost: from volumes and prices alone."""

from __future__ import annotations

import pytest

from tools.cost import Numbers, main, month, table


def costs(**numbers: float) -> dict[str, float]:
    """Each line's cost by its first word and the rest."""
    return {line.what: line.cost for line in month(Numbers(**numbers))}  # type: ignore[arg-type]


def test_what_does_not_happen_costs_nothing() -> None:
    """Without consoles, sites and events every line is nought."""
    nothing = costs(
        consoles=0,
        sites=0,
        agents=0,
        activities_a_day=0,
        posted_events_a_day=0,
        audit_records_a_day=0,
    )
    assert set(nothing.values()) == {0.0}


def test_a_doubled_price_doubles_its_lines_alone() -> None:
    """Prices are parameters: of ingestion here."""
    once, twice = costs(price_gb_ingested=2), costs(price_gb_ingested=4)
    for what, cost in once.items():
        assert twice[what] == pytest.approx(cost * 2 if what.startswith("ingestion") else cost)


def test_the_free_grant_is_not_billed() -> None:
    """An app that stays within it pays nothing for time and executions."""
    idle = costs(posted_events_a_day=0)
    assert idle["function app: time beyond the free grant"] == 0
    assert idle["function app: executions beyond the free grant"] == 0


def test_the_last_line_is_the_sum() -> None:
    """Of all lines, to the cent."""
    total = sum(line.cost for line in month(Numbers()))
    assert table(Numbers()).splitlines()[-1] == f"| **together** | | **{total:,.2f}** |"


def test_a_number_that_cannot_be_is_refused_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named."""
    with pytest.raises(SystemExit):
        main(["--agents", "-1"])
    assert "--agents" in capsys.readouterr().err
