"""The local Data Collector API takes posts signed over their bytes, and no others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from local.azure.logs_ingestion import AzureMonitor

BODY = json.dumps([{"name": "Zoë"}], ensure_ascii=False).encode()


def post(
    monitor: AzureMonitor,
    body: bytes = BODY,
    *,
    length: int | None = None,
    sent: datetime | None = None,
    changed: Mapping[str, str | None] | None = None,
) -> requests.Response:
    """A signed post; `length` is the signed length, `changed` are headers (None: absent)."""
    collector = monitor.data_collector
    date = format_datetime(sent or datetime.now(UTC), usegmt=True)
    size = len(body) if length is None else length
    text = f"POST\n{size}\napplication/json\nx-ms-date:{date}\n/api/logs"
    key = base64.b64decode(collector.workspace_key)
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    headers: dict[str, str | None] = {
        "Authorization": f"SharedKey {collector.workspace_id}:{signature}",
        "Content-Type": "application/json",
        "Log-Type": "OneLogin",
        "x-ms-date": date,
        **(changed or {}),
    }
    return requests.post(
        f"{monitor.url}/api/logs",
        params={"api-version": "2016-04-01"},
        data=body,
        headers={name: value for name, value in headers.items() if value is not None},
        timeout=30,
    )


def test_a_signed_post_is_accepted(azure_monitor: AzureMonitor) -> None:
    """200, and the records are kept under their Log-Type."""
    assert post(azure_monitor).status_code == 200
    assert azure_monitor.records("OneLogin") == [{"name": "Zoë"}]


def test_the_signature_is_over_bytes(azure_monitor: AzureMonitor) -> None:
    """A length counted in characters is not the body's."""
    assert post(azure_monitor, length=len(BODY.decode())).status_code == 403


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Authorization": None}, 403),
        ({"Authorization": "SharedKey 0:0"}, 403),
        ({"x-ms-date": None}, 403),
        ({"Log-Type": None}, 400),
        ({"Log-Type": "One-Login"}, 400),
        ({"Log-Type": "x" * 101}, 400),
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Encoding": "gzip"}, 400),
    ],
)
def test_what_is_missing_or_wrong_is_refused(
    azure_monitor: AzureMonitor, changed: dict[str, str | None], status: int
) -> None:
    """Each header that Azure asks for is asked for here."""
    answer = post(azure_monitor, changed=changed)
    assert (answer.status_code, "Error" in answer.json()) == (status, True)
    assert azure_monitor.records("OneLogin") == []


def test_an_old_signature_is_refused(azure_monitor: AzureMonitor) -> None:
    """A post is signed for a quarter of an hour."""
    old = datetime.now(UTC) - timedelta(minutes=16)
    assert post(azure_monitor, sent=old).status_code == 403


def test_a_post_over_30_mb_is_refused(azure_monitor: AzureMonitor) -> None:
    """The body is limited to 30 MB."""
    body = b'["' + b"x" * (30 * 1024 * 1024) + b'"]'
    assert post(azure_monitor, body).status_code == 413


def test_what_is_no_json_is_refused(azure_monitor: AzureMonitor) -> None:
    """A signed body must be JSON all the same."""
    assert post(azure_monitor, b"[1").status_code == 400
