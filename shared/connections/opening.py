"""Open a connection by its settings."""

from __future__ import annotations

from shared.settings.reader import read_if_set
from shared.source.advice import Advice
from shared.source.connector import Connection, Connector


def open_connection(connector: Connector) -> Connection | None:
    """The connection that the app's settings name; None where the connector is off.

    Raises SettingsError naming every missing or malformed setting.
    """
    if connector.connect is None:
        return None
    settings = read_if_set(connector.settings)
    return None if settings is None else connector.connect(settings, advice_for(connector))


def advice_for(connector: Connector) -> Advice:
    """The connector's advice with its settings' names in it."""
    names = {field: setting.name for field, setting in connector.declared().items()}
    return Advice(connector.name, connector.advice, names)


def valid_tokens(connector: Connector) -> tuple[str, ...] | None:
    """The tokens that a post may carry; None where the connector is off. Raises SettingsError."""
    if connector.events is None:
        return None
    settings = read_if_set(connector.settings)
    if settings is None:
        return None
    found = (getattr(settings, field) for field in connector.events.token_fields)
    return tuple(token for token in found if token)


def token_setting(connector: Connector) -> str:
    """The name of the setting that holds the first valid token; '' where nothing is posted."""
    if connector.events is None:
        return ""
    return connector.declared()[connector.events.token_fields[0]].name
