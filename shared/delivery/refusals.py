"""Refusals: tell bad records from a rule that is wrong, by what Azure Monitor takes beside them."""

from __future__ import annotations

import threading

# So many records refused alone, while none was accepted, blame the rule.
_ALONE = 10
# So do refused records that are over half of at least so many.
_SETTLED = 100
_SHARE = 0.5
# Halve both counts beyond so many records, so that a process that runs for weeks still notices.
_REMEMBERED = 100_000


class RefusalTally:
    """Count accepted records and those refused alone, of one stream's run; thread-safe.

    Bad records are set aside however many they are. Ten refused alone while nothing was accepted,
    or over half of at least a hundred, blame the data collection rule. The next accepted record
    clears it, for a tally that outlives a run.
    """

    def __init__(self, alone: int = _ALONE, settled: int = _SETTLED, share: float = _SHARE) -> None:
        self._alone = alone
        self._settled = settled
        self._share = share
        self._lock = threading.Lock()
        self._accepted = 0
        self._refused = 0
        self._blames_rule = False

    @property
    def suspects_rule(self) -> bool:
        """Whether the counts so far say that the rule is at fault."""
        with self._lock:
            if self._blames_rule:
                return True
            settled = self._accepted + self._refused
            nothing = not self._accepted and self._refused >= self._alone
            return nothing or (settled >= self._settled and self._refused > settled * self._share)

    @property
    def blames_rule(self) -> bool:
        """Whether that was the verdict, and no record was accepted since."""
        with self._lock:
            return self._blames_rule

    def blame_rule(self) -> None:
        """Keep the verdict until a record is accepted."""
        with self._lock:
            self._blames_rule = True

    def accept(self, records: int) -> None:
        """Count records that Azure Monitor took."""
        with self._lock:
            if self._blames_rule:
                self._refused, self._blames_rule = 0, False
            self._accepted += records
            if self._accepted + self._refused > _REMEMBERED:
                self._accepted, self._refused = self._accepted // 2, self._refused // 2

    def refuse(self) -> None:
        """Count a record that was refused alone."""
        with self._lock:
            self._refused += 1

    def __str__(self) -> str:
        """Return the counts for a message: ``12 of 40``."""
        return f"{self._refused} of {self._accepted + self._refused}"
