"""The demo's accounts: every vendor's, each as a connection of its connector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from local.demo.state import State
from local.vendors.registry import vendors
from local.vendors.vendor import Account, Vendor, VendorStream

# Of a vendor's week, the share of the account without a name where others have one.
_FIRST_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Served:
    """An account that is served, by the name of its connection; ``share`` is its part of a week."""

    vendor: Vendor
    connection: str
    account: Account
    share: float

    @property
    def title(self) -> str:
        """The vendor's name, with the connection's behind it."""
        return f"{self.vendor.name} {self.connection}".rstrip()

    @property
    def settings(self) -> Mapping[str, str]:
        """The app settings that make the account this connection."""
        suffix = f"__{self.connection}" if self.connection else ""
        return {f"{name}{suffix}": value for name, value in self.account.settings.items()}

    def label(self, stream: VendorStream) -> str:
        """What the demo's table calls the connection's stream."""
        return f"{stream.label}, {self.connection}" if self.connection else stream.label


@contextmanager
def serve_accounts(state: State) -> Iterator[list[Served]]:
    """Serve every account on its last port, with its records restored."""
    with ExitStack() as stack:
        found = []
        for vendor in vendors():
            for connection in vendor.connections:
                last = state.of(f"{vendor.name} {connection}".rstrip())
                account = stack.enter_context(vendor.serve(last.port))
                last.port = account.port
                if last.until:
                    account.restore(last.saved)
                found.append(Served(vendor, connection, account, _share(vendor, connection)))
        yield found


def _share(vendor: Vendor, connection: str) -> float:
    others = len(vendor.connections) - 1
    if not others:
        return 1.0
    return (1 - _FIRST_SHARE) / others if connection else _FIRST_SHARE
