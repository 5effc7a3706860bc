"""A rule that refuses every event sets few aside, however small the posts are."""

from __future__ import annotations

from local.azure.logs_ingestion import AzureMonitor
from shared.delivery.spool import Spool
from tests.webhook.posts import STREAM, dead_letters, event, events, post


def test_a_wrong_rule_fills_the_spool_not_the_dead_letters(onelogin: AzureMonitor) -> None:
    """Of 20 posts of three events fewer than ten are set aside; the others wait in the spool."""
    onelogin.refuse = lambda _stream, _record: "no column takes it"
    for number in range(20):
        assert post(events(3, start=number * 3)).status_code == 200
    aside = len(list(dead_letters()))
    assert 0 < aside < 10
    assert onelogin.server.count("/streams/") < 100
    assert Spool().depth() == 20 - aside // 3


def test_bad_events_among_good_ones_are_set_aside_however_many(onelogin: AzureMonitor) -> None:
    """Posts of one bad event each, among good ones, never blame the rule."""
    onelogin.refuse = lambda _, record: "bad" if int(record["uuid"][5:]) % 2 else None
    for number in range(40):
        assert post([event(number)]).status_code == 200
    assert len(onelogin.records(STREAM)) == 20
    assert len(list(dead_letters())) == 20
    assert Spool().depth() == 0
