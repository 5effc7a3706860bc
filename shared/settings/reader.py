"""Read declared settings into their dataclass; one error names every problem, and no secret."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from shared.errors import SettingsError
from shared.settings import key_vault
from shared.settings.setting import Setting, declared

Settings = TypeVar("Settings")


class SettingsReader:
    """Read settings one by one and collect what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def value(self, setting: Setting) -> Any:
        """The setting's value, checked: a number where it has bounds, else what its check gives.

        Its default where it is absent; '' where there is none, or where it is wrong.
        """
        text = key_vault.lookup(setting.name, secret=setting.secret)
        if text is None:
            if setting.required:
                where = f", nor is it in the vault {key_vault.uri()}" if key_vault.uri() else ""
                self.problems.append(f"{setting.name} is not set{where if setting.secret else ''}")
            return self._default(setting)
        if text.startswith("@Microsoft.KeyVault("):
            self.problems.append(
                f"{setting.name} is a Key Vault reference that did not resolve: see the setting's "
                "status in the portal, and give the app's identity the role Key Vault Secrets User"
            )
            return self._default(setting)
        if setting.secret and re.search(r"\s", text):
            self.problems.append(f"{setting.name} has white space inside: paste the value again")
            return ""
        try:
            return _checked(setting, text)
        except ValueError as error:
            self.problems.append(f"{setting.name} {error}")
            return self._default(setting)

    def done(self) -> None:
        """Raise SettingsError where anything was wrong."""
        if self.problems:
            raise SettingsError(self.problems)

    def _default(self, setting: Setting) -> Any:
        return "" if setting.default is None else _checked(setting, setting.default)


def read(settings: type[Settings]) -> Settings:
    """All of a settings class; raises SettingsError naming every missing or malformed setting."""
    reader = SettingsReader()
    values = {name: reader.value(each) for name, each in declared(settings).items()}
    reader.done()
    return settings(**values)


def read_if_set(settings: type[Settings]) -> Settings | None:
    """As ``read``; None where none of the settings is present.

    The vault is asked only about a class that has nothing but secrets: a connector with an address
    is off where there is no address.
    """
    own = declared(settings).values()
    if any(key_vault.environment(each.name) is not None for each in own):
        return read(settings)
    if all(each.secret for each in own) and any(
        key_vault.lookup(each.name, secret=True) is not None for each in own
    ):
        return read(settings)
    return None


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
