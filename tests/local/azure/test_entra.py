"""Signing in: the managed identity and Entra's client credentials, and TrapEye's way in."""

from __future__ import annotations

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.monitor.ingestion import LogsIngestionClient

from local.azure.entra import TENANT, Identity, TokenRefused
from local.azure.logs_ingestion import AzureMonitor, rule_id

SCOPE = "https://monitor.azure.com/.default"


def app(identity: Identity, client_id: str, secret: str) -> ClientSecretCredential:
    """An app registration that signs in at the local Entra."""
    return ClientSecretCredential(
        TENANT, client_id, secret, authority=identity.authority, disable_instance_discovery=True
    )


def test_microsofts_client_signs_in_with_the_managed_identity(identity: Identity) -> None:
    """azure-identity finds the endpoint by its two settings and gets a token that is accepted."""
    with ManagedIdentityCredential() as credential:
        issued = credential.get_token(SCOPE)
    caller = identity.caller(f"Bearer {issued.token}", "https://monitor.azure.com")
    assert caller == "managed-identity"


def test_a_wrong_identity_header_gets_no_token(identity: Identity) -> None:
    """A caller without the app's header gets no token."""
    answer = requests.get(
        identity.endpoint,
        params={"resource": "https://monitor.azure.com"},
        headers={"X-IDENTITY-HEADER": "guess"},
        timeout=10,
    )
    assert answer.status_code == 403


def test_a_wrong_client_secret_gets_no_token(identity: Identity) -> None:
    """Entra refuses a wrong secret, and azure-identity says so."""
    identity.register_app("trapeye")
    with app(identity, "trapeye", "guess") as credential, pytest.raises(ClientAuthenticationError):
        credential.get_token(SCOPE)


def test_a_forged_token_is_refused(identity: Identity) -> None:
    """A token whose claims were changed no longer fits its signature."""
    with ManagedIdentityCredential() as credential:
        head, _, signature = credential.get_token(SCOPE).token.rpartition(".")
    with pytest.raises(TokenRefused, match="signature"):
        identity.caller(f"Bearer {head}x.{signature}", "https://monitor.azure.com")


def test_trapeye_posts_with_an_app_registration(azure_monitor: AzureMonitor) -> None:
    """TrapEye signs in with client credentials and posts to its rule, once it has the role."""
    identity, rule = azure_monitor.identity, rule_id("TrapEye")
    secret = identity.register_app("trapeye")
    with (
        app(identity, "trapeye", secret) as credential,
        LogsIngestionClient(azure_monitor.url, credential) as client,
    ):
        with pytest.raises(HttpResponseError) as refused:
            client.upload(rule, "Custom-TrapEyeThreats", [{"event_type": "threat"}])
        assert refused.value.status_code == 403
        azure_monitor.grant("trapeye", rule)
        client.upload(rule, "Custom-TrapEyeThreats", [{"event_type": "threat"}])
        client.upload(rule, "Custom-TrapEyeInteractions", [{"event_type": "interaction"}])
    assert azure_monitor.records("Custom-TrapEyeThreats") == [{"event_type": "threat"}]
    assert azure_monitor.records("Custom-TrapEyeInteractions") == [{"event_type": "interaction"}]
