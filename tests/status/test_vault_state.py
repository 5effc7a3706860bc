"""The status page while the Key Vault fails."""

from __future__ import annotations

import pytest

from local.loopback.certificates import Certificates
from local.loopback.faults import FOREVER, answer
from shared.settings import key_vault as vault
from tests.app import TOKEN, App
from tests.settings.test_key_vault import Vault


def test_a_secret_that_is_known_from_before_only_is_shown(
    app: App, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connector goes on, and the app's own section names the secret and why."""
    place = Vault(app.monitor.identity, tls)
    place.secrets["OneLoginBearerToken"] = TOKEN
    monkeypatch.delenv("OneLoginBearerToken")
    with place.server:
        monkeypatch.setenv("KeyVaultUri", place.server.url)
        assert [problem["reason"] for problem in app.status()["problems"]] == []
        place.server.faults.add("/secrets/", answer(403), times=FOREVER)
        monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
        vault.refresh_secrets(seconds=30)
        (problem,) = app.status()["problems"]
        assert problem["state"] == "late"
        assert problem["reason"].startswith("OneLoginBearerToken is known from before only")
        assert "(and 1 more)" in problem["reason"]
        app.post_events([{"uuid": "1", "event_timestamp": "2026-03-05 19:13:06 UTC"}])
        assert app.stream("OneLogin")["assessment"]["state"] == "ok"
