"""The elements of the portal's form, as createUiDefinition.json has them.

https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-uidefinition-elements
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.settings.setting import Setting
from tools.template.arm import Json

_KEPT = (
    "It is stored in Key Vault. Leave it empty in a later deployment to keep the one that is there."
)
_PASTED = r"^(\S{8,4096})?$"
_NOT_PASTED = "Paste the token as it is, without spaces"


def check_box(
    name: str, label: str, tooltip: str, *, checked: bool, visible: str | bool = True
) -> Json:
    """A box to tick; ``visible`` may be an expression."""
    return {
        "name": name,
        "type": "Microsoft.Common.CheckBox",
        "label": label,
        "defaultValue": checked,
        "toolTip": tooltip,
        "constraints": {},
        "visible": visible,
    }


def text_box(
    name: str,
    label: str,
    tooltip: str,
    *,
    default: str = "",
    placeholder: str = "",
    required: bool = False,
    pattern: str = "",
    mismatch: str = "",
    visible: str | bool = True,
) -> Json:
    """A line of text; ``mismatch`` is said where it does not fit ``pattern``."""
    validations = [{"regex": pattern, "message": mismatch}] if pattern else []
    return {
        "name": name,
        "type": "Microsoft.Common.TextBox",
        "label": label,
        "defaultValue": default,
        "placeholder": placeholder,
        "toolTip": tooltip,
        "constraints": {"required": required, "validations": validations},
        "visible": visible,
    }


def drop_down(
    name: str,
    label: str,
    tooltip: str,
    choices: Sequence[Json] | str,
    *,
    default: str | None = None,
) -> Json:
    """A choice of one, or without ``default`` of any number; ``choices`` may be an expression."""
    return {
        "name": name,
        "type": "Microsoft.Common.DropDown",
        "label": label,
        "defaultValue": [] if default is None else default,
        "toolTip": tooltip,
        "multiselect": default is None,
        "selectAll": False,
        "filter": False,
        "multiLine": True,
        "constraints": {
            "allowedValues": choices if isinstance(choices, str) else list(choices),
            "required": default is not None,
        },
        "visible": True,
    }


def password_box(name: str, setting: Setting, visible: str) -> Json:
    """A secret, which is never shown and may stay empty: then the one in Key Vault stays."""
    return {
        "name": name,
        "type": "Microsoft.Common.PasswordBox",
        # The second label is required, and hidden.
        "label": {"password": setting.label, "confirmPassword": f"{setting.label}, again"},
        "toolTip": f"{setting.tooltip} {_KEPT}".strip(),
        "constraints": {
            "required": False,
            "regex": setting.pattern or _PASTED,
            "validationMessage": setting.mismatch or _NOT_PASTED,
        },
        "options": {"hideConfirmation": True},
        "visible": visible,
    }
