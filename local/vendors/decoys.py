"""What the decoys of TrapEye, a sender without a function, report about the made-up company."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from local.vendors.company import guid
from shared.records.timestamps import isoformat


def decoy_records(number: int, day: datetime) -> Mapping[str, list[dict[str, Any]]]:
    """A day's records by stream: a source that touches a decoy, and its every try."""
    return {
        "Custom-TrapEyeThreats": [_threat(number, day)],
        "Custom-TrapEyeInteractions": list(_interactions(number, day)),
    }


def _threat(number: int, day: datetime) -> dict[str, Any]:
    at = day - timedelta(hours=3 + number)
    return {
        "event_type": "new_threat",
        "@meta": {"product": "TrapEye", "vendor": "Anantis"},
        "entity_uuid": guid("entity", number),
        "first_interaction": isoformat(at),
        "last_interaction": isoformat(at + timedelta(minutes=20)),
        "reverse_lookup": f"scanner-{number}.example.net",
        "source_asn": f"AS6449{number}",
        "source_country": ("NL", "US", "BR")[number % 3],
        "source_ip": f"203.0.113.{90 + number}",
        "threat_uuid": guid("decoy", number),
    }


def _interactions(number: int, day: datetime) -> Iterator[dict[str, Any]]:
    for each in range(3 + number):
        yield {
            "event_type": "new_interaction",
            "@meta": {"product": "TrapEye", "vendor": "Anantis"},
            "entity_uuid": guid("entity", number),
            "interaction_uuid": guid("interaction", 100 * number + each),
            "threat_uuid": guid("decoy", number),
            "timestamp": isoformat(day - timedelta(hours=3 + number, minutes=-each)),
            "source_ip": f"203.0.113.{90 + number}",
            "service": ("ssh", "smb", "rdp")[each % 3],
            "device_name": ("file server decoy", "printer decoy")[number % 2],
            "username": "root",
            "destination_port": 22,
        }
