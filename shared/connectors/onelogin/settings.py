"""OneLogin's settings: tokens of its posts, and the credential of its API."""

from __future__ import annotations

from dataclasses import dataclass

from shared.settings import checks
from shared.settings.setting import setting

WEBHOOK, API = "webhook", "api"
SOURCE = "OneLoginSource"


def address(value: str) -> str:
    """The account's address; the API's paths are added to it."""
    return checks.https_url(value, "https://acme.onelogin.com")


def source(value: str) -> str:
    """``webhook`` or ``api``."""
    return checks.choice(value, (WEBHOOK, API))


@dataclass(frozen=True, slots=True)
class OneLoginSettings:
    """The one or two tokens that are valid now; the API's address and credential, '' for none."""

    bearer_token: str = setting(
        "OneLoginBearerToken",
        "The token that OneLogin sends in its `Authorization: Bearer` header; not needed with "
        "`OneLoginSource` `api`.",
        required=True,
        unless=(SOURCE, API),
        secret=True,
        check=checks.bearer_token,
        label="Bearer token",
        tooltip="Make up a long random text (openssl rand -hex 32) and give OneLogin the header "
        "Authorization: Bearer <token>.",
        pattern=r"^(\S{16,4096})?$",
        mismatch="At least 16 characters, without spaces",
    )
    bearer_token_secondary: str = setting(
        "OneLoginBearerTokenSecondary",
        "A second token that is valid too, to change the first without a gap.",
        secret=True,
        check=checks.bearer_token,
        label="Second bearer token",
        tooltip="Only while you change the token: this one is accepted too.",
        pattern=r"^(\S{16,4096})?$",
        mismatch="At least 16 characters, without spaces",
    )
    url: str = setting(
        "OneLoginUrl",
        "The account's address, for OneLogin's API; see docs/onelogin.md.",
        own=True,
        example="https://acme.onelogin.com",
        check=address,
        label="Account's address",
        tooltip="https://acme.onelogin.com. Only for OneLogin's API.",
        pattern=r"^(https://[A-Za-z0-9][A-Za-z0-9.-]*/?)?$",
        mismatch="An address that begins with https://",
    )
    client_id: str = setting(
        "OneLoginClientId",
        "The client id of an API credential with the scope Read Users.",
        own=True,
        check=checks.api_token,
        label="API client id",
        tooltip="Developers, API Credentials, New Credential, Read Users. Only for OneLogin's API.",
    )
    client_secret: str = setting(
        "OneLoginClientSecret",
        "That credential's client secret.",
        secret=True,
        check=checks.api_token,
        label="API client secret",
        tooltip="The secret of that credential. Only for OneLogin's API.",
    )
    source: str = setting(
        SOURCE,
        "The way in: `webhook`, or `api`, which polls OneLogin's API and takes no posts.",
        default=WEBHOOK,
        check=source,
        label="Way in",
        tooltip="webhook (OneLogin posts its events) or api (they are polled).",
        pattern=r"^(webhook|api)?$",
        mismatch="webhook or api",
    )
