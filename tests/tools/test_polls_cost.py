"""What polling many consoles costs: from numbers and prices alone."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tools.polls_cost import Line, Numbers, main, month, table, total


def line(what: str, numbers: Numbers) -> Line:
    return next(each for each in month(numbers) if each.what == what)


def test_a_poll_is_counted_at_each_meter() -> None:
    """A console that is polled 12 times an hour, by hand."""
    numbers = Numbers(consoles=1, streams=3, free_gb_seconds=0, free_executions=0)
    polls = 12 * 730
    assert line("polls", numbers).amount == f"{polls:,}"
    assert line("blob calls", numbers).cost == pytest.approx(polls * 6 / 1e4 * 0.0044)
    assert line("queue calls", numbers).cost == pytest.approx(polls * 3 / 1e4 * 0.004)
    assert line("table calls", numbers).cost == pytest.approx(polls * 6 / 1e4 * 0.00036)
    time = line("instances' time beyond the free grant", numbers)
    assert time.cost == pytest.approx(polls * 1.2 / 4 * 2 * 0.000026)
    executions = line("executions beyond the free grant", numbers)
    assert executions.cost == pytest.approx(2 * polls / 1e6 * 0.4)


def test_prices_that_are_nought_cost_nothing() -> None:
    """Each line that is billed has a price among the options."""
    prices = {each.name: 0.0 for each in fields(Numbers) if each.name.startswith("price_")}
    assert total(Numbers(**prices)) == 0.0  # type: ignore[arg-type]
    assert total(Numbers()) > 0


def test_the_free_grant_is_not_billed() -> None:
    """A few consoles stay within it."""
    few = Numbers(consoles=5)
    assert line("instances' time beyond the free grant", few).cost == 0
    assert line("executions beyond the free grant", few).cost == 0


def test_columns_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line is each column's sum."""
    one, two = Numbers(), Numbers(consoles=300)
    last = table([("a", one), ("b", two)]).splitlines()[-1]
    assert last == f"| **together** | **{total(one):,.0f}** | **{total(two):,.0f}** |"
    assert main(["--consoles", "300"]) == 0
    assert f"**{total(two):,.0f}**" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--consoles=-1", "--apps=0"])
def test_a_number_that_cannot_be_is_refused_by_its_name(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named."""
    with pytest.raises(SystemExit):
        main([option])
    assert option.partition("=")[0] in capsys.readouterr().err
