"""The declaration of an app setting: all that is derived from it stands here and nowhere else.

A connector's settings are a frozen dataclass whose fields are made by ``setting``. The reader, the
README's table, the example file, the template's parameters and the portal's form come from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_KEY = "setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """One app setting.

    ``check`` gives back a text's value, or raises ``ValueError`` with the rest of a sentence that
    begins with the setting's name. ``bounds`` are the least and the most of a number, both allowed.
    ``own``: each connection gives it itself, as one that is required. One that is ``required`` may
    be absent where the setting ``unless[0]`` has the value ``unless[1]``.
    ``default`` is the text in force where the setting is absent; ``default_text`` says it shorter.
    ``label``, ``tooltip``, ``pattern`` (a regular expression) and ``mismatch`` (what to say where
    it does not fit) are the portal's; a setting without a label is not on its form.
    """

    name: str
    meaning: str
    required: bool = False
    unless: tuple[str, str] | None = None
    own: bool = False
    secret: bool = False
    default: str | None = None
    default_text: str = ""
    example: str = ""
    check: Callable[[str], Any] | None = None
    bounds: tuple[float, float] | None = None
    label: str = ""
    tooltip: str = ""
    pattern: str = ""
    mismatch: str = ""

    @property
    def vault_name(self) -> str:
        """The secret's name in Key Vault."""
        return vault_name(self.name)

    @property
    def inherited(self) -> bool:
        """Whether a named connection takes it from the setting without a name.

        Never what is required, nor a secret: a token never goes to another's address.
        """
        return not (self.required or self.own or self.secret)

    def named(self, connection: str) -> Setting:
        """The same setting of a named connection; '' is the connection without a name."""
        if not connection:
            return self
        return dataclasses.replace(self, name=f"{self.name}__{connection}")


def vault_name(name: str) -> str:
    """A setting's name in Key Vault, which allows no underscore: ``__`` becomes ``--``.

    https://learn.microsoft.com/aspnet/core/security/key-vault-configuration
    """
    return name.replace("__", "--")


def setting(name: str, meaning: str, **more: Any) -> Any:
    """A dataclass field that declares the app setting ``name``; ``more`` as in ``Setting``."""
    return dataclasses.field(metadata={_KEY: Setting(name, meaning, **more)})


def declared(settings: type) -> Mapping[str, Setting]:
    """Each field of a settings class with the setting it declares, in order."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(settings)}
