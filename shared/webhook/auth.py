"""Check the bearer token of a webhook request, in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from shared.connections.opening import Tokens, read_tokens, takes_posts, token_setting
from shared.errors import SettingsError
from shared.settings import key_vault
from shared.settings.names import find_names
from shared.source.connector import Connector


def connection_of(header: str, connector: Connector) -> str | None:
    """The name of the connection whose token an ``Authorization`` header has; None for no token.

    The token tells the connection ('': the one without a name). A known token waits for no vault.
    Raises ``SettingsError`` where no connection takes posts, where no token is set, where two
    connections have the one given, and where it may be a token that the vault does not tell now:
    unknown is not wrong. The scheme matches in any case:
    https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    """
    scheme, _, token = header.partition(" ")
    given = token.strip().encode("utf-8", "surrogatepass")
    set_up = ["", *find_names(connector.declared().values()).names]
    names = [name for name in set_up if takes_posts(connector, name)]
    if not names:
        setting = connector.declared()[connector.way_in].name
        raise SettingsError([f"{setting} is api: events are polled, and a post is not taken"])
    fitting = _fitting(given, _read(connector, names)) or _fitting_now(given, connector, names)
    if len(fitting) > 1:
        alike = [f"the connection {name}" if name else "the one without" for name in fitting]
        raise SettingsError(
            [f"{token_setting(connector)}: one token is that of {' and '.join(alike)}"]
        )
    return fitting[0] if fitting and scheme.lower() == "bearer" else None


def _read(connector: Connector, names: Sequence[str], seconds: float = 0.0) -> Mapping[str, Tokens]:
    """Each connection's tokens, all read within ``seconds``; an absent nameless one is left out."""
    fields = connector.events.token_fields if connector.events else ()
    declared = [connector.declared()[field] for field in fields]
    key_vault.prefetch([each.named(n).name for n in names for each in declared], seconds=seconds)
    tokens = {name: read_tokens(connector, name, seconds=0.0) for name in names}
    return {name: each for name, each in tokens.items() if not each.off or len(names) == 1}


def _fitting_now(given: bytes, connector: Connector, names: Sequence[str]) -> list[str]:
    """Read what is not known, then what may have changed, and compare after each."""
    tokens = _read(connector, names, key_vault.POST_SECONDS)
    if fitting := _fitting(given, tokens):
        return fitting
    problems = [problem for each in tokens.values() for problem in each.problems]
    if (given or problems) and key_vault.refresh_secrets(seconds=key_vault.POST_SECONDS):
        tokens = _read(connector, names)
        if fitting := _fitting(given, tokens):
            return fitting
    missing = [text for each in tokens.values() for text in (*each.problems, *each.unknown)]
    if missing:
        raise SettingsError(missing)
    settings = [setting for each in tokens.values() for setting in each.settings]
    uncertain = [name for name in settings if not key_vault.is_certain(name)]
    if given and uncertain:
        raise SettingsError([key_vault.why_unknown(name) for name in uncertain])
    return []


def _fitting(given: bytes, tokens: Mapping[str, Tokens]) -> list[str]:
    """Compare with every token, so that the time taken tells nothing about any of them."""
    found = []
    for name, each in tokens.items():
        fits = False
        for token in each.valid:
            fits |= hmac.compare_digest(given, token.encode("utf-8"))
        if fits:
            found.append(name)
    return found
