"""`python -m tools check-filter`: a predicate before it is deployed."""

from __future__ import annotations

import pytest

from tools import check_filter

STREAM = "Custom-SentinelOneActivities"


@pytest.mark.parametrize(
    ("predicate", "says"),
    [
        ("", "empty"),
        ("a == 1\nor true", "lines"),
        ("activityType_d == 1 // noise", "comment"),
        ("activityType_d == 1) | project-away id_s | where (true", "did not open"),
        ("activityType_d == 1 | where true", "|"),
        ("id_s == 'x'; print 1", ";"),
        ("(activityType_d == 1", "does not close"),
        ("comments_s == 'it", "does not end"),
        ("activityTipe_d == 1", "'activityTipe_d'"),
        ("id_s", "bool"),
        ("comments_s in~ ('a')", "in~"),
        ("coalesce(id_s, '') == ''", "coalesce()"),
        ("id_s == '" + "x" * 15_000 + "'", "15360"),
    ],
)
def test_what_azure_would_refuse_is_named(
    capsys: pytest.CaptureFixture[str], predicate: str, says: str
) -> None:
    """Each fault ends the command with 1 and says which it is."""
    assert check_filter.main([STREAM, predicate]) == 1
    told = capsys.readouterr()
    assert says in told.err
    assert not told.out


@pytest.mark.parametrize(
    "predicate",
    [
        "activityType_d != 5126",
        "primaryDescription_s !has \"it's (\" and comments_s != '// no | comment;'",
        "not(data_userName_s endswith '@acme.example') or isempty(DataFields_s)",
    ],
)
def test_a_good_one_is_shown_as_the_parameter_with_the_rules_that_see_less(
    capsys: pytest.CaptureFixture[str], predicate: str
) -> None:
    """Quotes and all; what is dropped beyond half is said to be billed."""
    assert check_filter.main(["SentinelOneActivities", predicate]) == 0
    told = capsys.readouterr().out
    assert f'filters={{"{STREAM}": ' in told
    assert "SentinelOne - New admin" in told
    assert "beyond half" in told


def test_a_stream_that_there_is_not_is_told_with_a_near_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slip in the stream's name would filter nothing without a word."""
    assert check_filter.main(["SentinelOneActivity", "true"]) == 2
    assert STREAM in capsys.readouterr().err
