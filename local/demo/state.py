"""What one run of the demo leaves for the next, so that the next sends only what is new."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.demo.traffic import History
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne


@dataclass(slots=True)
class State:
    """The vendors' addresses (a checkpoint belongs to one), their records, and OneLogin's events.

    `until` is up to when history was made, as ISO 8601, "" before the first run; `made` is how
    many records it has numbered.
    """

    sentinelone_port: int = 0
    jira_port: int = 0
    made: int = 0
    until: str = ""
    records: dict[str, list[Any]] = field(default_factory=dict)
    policies: list[list[Any]] = field(default_factory=list)
    onelogin: list[Any] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        """The last run's, or a new one."""
        if not path.exists():
            return cls()
        return cls(**json.loads(gzip.decompress(path.read_bytes())))

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        values = {name: getattr(self, name) for name in self.__slots__}
        new.write_bytes(gzip.compress(json.dumps(values).encode(), 1))
        new.replace(path)

    def give(self, sentinelone: SentinelOne, jira: Jira) -> None:
        """The vendors have again what they had."""
        for stream, records in self.records.items():
            if stream == "jira":
                jira.add(records)
            else:
                sentinelone.add(stream, records)
        for level, scope_id, policy in self.policies:
            sentinelone.policies[level, scope_id] = policy

    def take(self, sentinelone: SentinelOne, jira: Jira, history: History) -> None:
        """Remembers what the vendors have."""
        streams = sentinelone.streams.items()
        self.records = {name: collection.records() for name, collection in streams}
        self.records["jira"] = jira.audit_records.records()
        self.policies = [[*scope, body] for scope, body in sentinelone.policies.items()]
        self.made = history.made
