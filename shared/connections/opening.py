"""Open a connection by its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.connections.names import set_up
from shared.errors import SettingsError
from shared.settings import key_vault
from shared.settings.reader import SettingsReader, read
from shared.settings.setting import Setting
from shared.source.advice import Advice
from shared.source.connector import Connection, Connector


def open_connection(connector: Connector, name: str = "") -> Connection | None:
    """The connection of that name ('': the one without); None where it is not set up.

    Raises SettingsError naming every missing or malformed setting of its own, and where an earlier
    connection has the same address and sign-in.
    """
    if connector.connect is None:
        return None
    found = set_up(connector)
    if name in found.problems:
        raise SettingsError([found.problems[name]])
    if name not in found.names:
        return None
    if not is_polled(connector, name):
        return None
    settings = read(connector.settings, name)
    for other in found.names[: found.names.index(name)]:
        if is_polled(connector, other):
            _refuse_the_same(connector, name, settings, other)
    connection = connector.connect(settings, advice_for(connector, name))
    return replace(connection, name=name) if connection else None


def is_polled(connector: Connector, name: str = "") -> bool:
    """Whether a connection is polled; one that is only posted to need not ask the vault.

    Of a vendor that can do both: where its API is the way in, or where the API's address is set.
    """
    if connector.connect is None:
        return False
    own = [each.named(name).name for each in connector.declared().values() if each.own]
    return not takes_posts(connector, name) or not connector.way_in or _any_set(own)


def takes_posts(connector: Connector, name: str = "") -> bool:
    """Whether a connection's posts are taken: not where the vendor's API is its way in."""
    if connector.events is None:
        return False
    if not connector.way_in:
        return True
    return bool(SettingsReader(name).value(connector.declared()[connector.way_in]) != "api")


def _any_set(names: Sequence[str]) -> bool:
    return any(key_vault.environment(each) is not None for each in names)


def _refuse_the_same(connector: Connector, name: str, settings: Any, other: str) -> None:
    """Raise SettingsError where two connections would bring the same records twice.

    The vault is asked for the other's secrets only where the rest is the same. Another connection's
    wrong settings are its own affair.
    """
    declared = connector.declared()
    required = {field: each for field, each in declared.items() if each.own} or {
        field: each for field, each in declared.items() if each.required
    }
    names = [each.named(name).name for each in required.values()]
    try:
        for field, each in sorted(required.items(), key=lambda item: item[1].secret):
            theirs = key_vault.lookup(each.named(other).name, secret=each.secret)
            mine = getattr(settings, field)
            if theirs is None or _compared(each.check(theirs) if each.check else theirs) != (
                _compared(mine)
            ):
                return
    except (SettingsError, ValueError):
        return
    whose = f"of the connection {other}" if other else "without a name"
    raise SettingsError(
        [f"{' and '.join(names)} are those {whose}: every record would arrive twice"]
    )


def _compared(value: Any) -> str:
    """An address as hosts are compared: a token keeps its case."""
    text = str(value)
    return text.rstrip("/").lower() if "://" in text else text


def advice_for(connector: Connector, name: str = "") -> Advice:
    """The connector's advice with the names of the connection's settings in it."""
    return Advice(connector.name, connector.advice, _own_names(connector.declared(), name))


def _own_names(settings: Mapping[str, Setting], name: str) -> Mapping[str, str]:
    """Each field's setting: the connection's own, or the inherited one where that is in force."""
    names = {}
    for field, each in settings.items():
        own = each.named(name)
        inherits = each.inherited and key_vault.environment(own.name) is None
        names[field] = each.name if inherits else own.name
    return names


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that a post may carry; none is valid while the first setting is wrong or absent.

    ``settings`` are the names of the settings, ``unknown`` says of each secret that is not known
    why, ``problems`` what is wrong with the others. ``off``: no setting is present.
    """

    settings: Sequence[str]
    valid: Sequence[str]
    problems: Sequence[str]
    unknown: Sequence[str]
    off: bool


def read_tokens(
    connector: Connector, name: str = "", *, seconds: float = key_vault.WAIT_SECONDS
) -> Tokens:
    """Read a connection's tokens; wait for those in the Key Vault as ``key_vault.prefetch`` does.

    Raises SettingsError for an invalid KeyVaultUri, and ValueError for a connector without posts.
    """
    if connector.events is None:
        raise ValueError(f"{connector.name} posts no events")
    settings = [connector.declared()[field].named(name) for field in connector.events.token_fields]
    names = [each.name for each in settings]
    key_vault.prefetch(names, seconds=seconds)
    unknown = [key_vault.why_unknown(name) for name in names if not key_vault.is_known(name)]
    known = [each for each in settings if key_vault.is_known(each.name)]
    reader = SettingsReader()
    valid: list[str] = []
    for setting in known:
        token = reader.value(setting)
        if token:
            valid.append(token)
        elif setting.required:
            valid.clear()
            break
    off = not unknown and all(key_vault.lookup(name, secret=True) is None for name in names)
    return Tokens(names, tuple(valid), tuple(reader.problems), tuple(unknown), off)


def valid_tokens(connector: Connector, name: str = "") -> tuple[str, ...] | None:
    """The tokens that a connection's posts may carry; None where it is off.

    Raises SettingsError.
    """
    if connector.events is None:
        return None
    tokens = read_tokens(connector, name)
    if tokens.off:
        return None
    if tokens.problems or not tokens.valid:
        raise SettingsError([*tokens.problems, *tokens.unknown])
    return tuple(tokens.valid)


def token_setting(connector: Connector) -> str:
    """The name of the setting that holds the first valid token; '' where nothing is posted."""
    if connector.events is None:
        return ""
    return connector.declared()[connector.events.token_fields[0]].name
