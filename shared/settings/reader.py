"""Read declared settings into their dataclass; one error names every problem, and no secret."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from shared.errors import SettingsError
from shared.settings import key_vault
from shared.settings.setting import Setting, declared

Settings = TypeVar("Settings")

# As a value stands in JSON or a shell.
_QUOTES = "\"'`"


class SettingsReader:
    """Read a connection's settings one by one and collect what is wrong with them.

    ``connection`` is its name, '' for the one without a name.
    """

    def __init__(self, connection: str = "") -> None:
        self.connection = connection
        self.problems: list[str] = []

    def value(self, setting: Setting) -> Any:
        """The setting's value, checked: a number where it has bounds, else what its check gives.

        A named connection's own, or where that is absent and inherited, the one without a name. Its
        default where it is absent; '' where there is none, or where it is wrong.
        """
        own = setting.named(self.connection)
        inherits = setting.inherited and key_vault.environment(own.name) is None
        return self._value(setting if inherits else own)

    def own_value(self, setting: Setting) -> Any:
        """As ``value``, of the connection's own setting alone: nothing is inherited."""
        return self._value(setting.named(self.connection))

    def _value(self, setting: Setting) -> Any:
        try:
            text = key_vault.lookup(setting.name, secret=setting.secret)
        except SettingsError as error:
            self.problems += error.problems
            return self._default(setting)
        where = f", nor is it in the vault {key_vault.uri()}" if key_vault.uri() else ""
        if (text is None or text.startswith(key_vault.REFERENCE)) and self._may_be_absent(setting):
            return self._default(setting)
        if text is None:
            if setting.required:
                self.problems.append(f"{setting.name} is not set{where if setting.secret else ''}")
            return self._default(setting)
        if text.startswith(key_vault.REFERENCE):
            self.problems.append(
                f"{setting.name} is a Key Vault reference that did not resolve{where}: see the "
                "setting's status in the portal, and give the app's identity the role Key Vault "
                "Secrets User"
            )
            return self._default(setting)
        if setting.secret and re.search(r"\s", text):
            self.problems.append(f"{setting.name} has white space inside: paste the value again")
            return ""
        if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
            self.problems.append(f"{setting.name} is in quotes: give the value without them")
            return self._default(setting)
        try:
            return _checked(setting, text)
        except ValueError as error:
            self.problems.append(f"{setting.name} {error}")
            return self._default(setting)

    def _may_be_absent(self, setting: Setting) -> bool:
        """Whether another setting, the connection's own or the inherited one, makes it needless."""
        if setting.unless is None:
            return False
        name, value = setting.unless
        own = key_vault.environment(f"{name}__{self.connection}") if self.connection else None
        return (own or key_vault.environment(name) or "").lower() == value

    def done(self) -> None:
        """Raise SettingsError where anything was wrong."""
        if self.problems:
            raise SettingsError(list(dict.fromkeys(self.problems)))

    def _default(self, setting: Setting) -> Any:
        return "" if setting.default is None else _checked(setting, setting.default)


def read(settings: type[Settings], connection: str = "") -> Settings:
    """All of a connection's settings class ('': the connection without a name).

    Raises SettingsError naming every missing or malformed setting.
    """
    reader = SettingsReader(connection)
    secrets = [each.named(connection) for each in declared(settings).values() if each.secret]
    key_vault.prefetch(each.name for each in secrets)
    values = {name: reader.value(each) for name, each in declared(settings).items()}
    reader.done()
    return settings(**values)


def is_set(settings: type[Any], *, inherited: bool = True) -> bool:
    """Whether any setting of a class is present without a name.

    Without ``inherited``, one that named connections inherit is not enough. The vault is asked only
    about a class that requires nothing but secrets: a connector with an address is off where there
    is no address. Raises SettingsError if the vault fails.
    """
    own = [each for each in declared(settings).values() if inherited or not each.inherited]
    if any(key_vault.environment(each.name) is not None for each in own):
        return True
    if not all(each.secret for each in declared(settings).values() if each.required):
        return False
    secrets = [each.name for each in own if each.required]
    key_vault.prefetch(secrets)
    return any(key_vault.lookup(name, secret=True) is not None for name in secrets)


def read_if_set(settings: type[Settings]) -> Settings | None:
    """As ``read`` without a name; None where none of the settings is present."""
    return read(settings) if is_set(settings) else None


def _checked(setting: Setting, text: str) -> Any:
    if setting.bounds is not None:
        return _number(text, *setting.bounds)
    return setting.check(text) if setting.check else text


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(f"must be a number from {low:g} to {high:g}")
    return value
