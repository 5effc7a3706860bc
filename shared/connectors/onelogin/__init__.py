"""OneLogin: events that its Event Broadcaster posts, or that its API lists."""

from __future__ import annotations

from shared.connectors.onelogin.api import BURST, REQUESTS_PER_SECOND, TOKEN_PATH, EventList
from shared.connectors.onelogin.posts import EVENTS, OneLoginEvents
from shared.connectors.onelogin.settings import API, OneLoginSettings
from shared.errors import SettingsError
from shared.source.advice import Advice
from shared.source.client import ApiClient
from shared.source.connector import Connection, Connector, Portal
from shared.source.credentials import ClientCredentials

__all__ = ["CONNECTOR", "EVENTS", "OneLoginEvents", "OneLoginSettings", "connect"]


def connect(settings: OneLoginSettings, advice: Advice) -> Connection | None:
    """OneLogin's API as ``settings`` name it; None where its posts are all there is.

    With posts as the way in, the API only counts them.

    Raises SettingsError where the address, the client id or the secret is missing.
    """
    given = {name: getattr(settings, name) for name in ("url", "client_id", "client_secret")}
    if settings.source != API and not any(given.values()):
        return None
    absent = [advice.names[name] for name, value in given.items() if not value]
    if absent:
        raise SettingsError([f"{name} is not set" for name in absent])
    credentials = ClientCredentials(
        settings.url + TOKEN_PATH, settings.client_id, settings.client_secret
    )
    client = ApiClient(
        advice,
        settings.url,
        {},
        REQUESTS_PER_SECOND,
        burst=BURST,
        credentials=credentials,
    )
    events = EventList(client, settings.url)
    if settings.source == API:
        return Connection(settings.url, client, [events])
    return Connection(settings.url, client, [], counted=events)


CONNECTOR = Connector(
    name="OneLogin",
    settings=OneLoginSettings,
    streams=(EVENTS,),
    portal=Portal(
        "Receive OneLogin's events",
        "Opens a webhook for OneLogin's Event Broadcaster, or polls OneLogin's API.",
    ),
    advice={
        400: "OneLogin does not take the request's parameters",
        401: "{client_id} and {client_secret} do not fit, or the credential was removed",
        403: "the credential in {client_id} needs the scope Read Users",
        None: "see whether {url} is the account's address",
    },
    connect=connect,
    events=OneLoginEvents(),
    way_in="source",
)
