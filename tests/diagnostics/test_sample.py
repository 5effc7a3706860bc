"""The connection test's sample and the analytics rules that watch the connectors."""

from __future__ import annotations

import pytest

from shared.diagnostics.sink_steps import sample
from shared.health.rows import STREAM
from tests.rules.files import rules
from tests.rules.sentinel import MINUTE, Clock


@pytest.mark.slow
def test_no_rule_takes_the_sample_for_a_connector() -> None:
    """No rule raises an alert, neither on the sample nor on the silence after it."""
    clock = Clock()
    try:
        sentinel = clock.sentinel()
        for minutes in (0, 30, 70, 90, 180):
            at = sentinel.noon + minutes * MINUTE
            sentinel.arrives(at, STREAM, sample(at) | {"Connector": "Test"})
        later = sentinel.noon + 400 * MINUTE
        sentinel.arrives(later, STREAM, sample(later) | {"Connector": "Other"})
        watching = [rule for rule in rules() if rule.name.startswith("Health")]
        assert len(watching) == 5
        assert {rule.name: sentinel.alerts(rule) for rule in watching} == {
            rule.name: [] for rule in watching
        }
    finally:
        clock.workspace.close()
