"""The world that tests run in: real local servers, and an environment without anyone's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from local.azure.azurite import Azurite
from local.azure.entra import Identity
from local.azure.logs_ingestion import AzureMonitor, declared_rules, rule_id
from local.loopback.certificates import Certificates, certificates
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from local.world import LOOPBACK, SIGN_IN
from shared.connections.registry import all_settings
from shared.health.aggregator import stop_aggregators
from shared.runtime.process import reset_process
from shared.settings.app import rule_settings

BEARER_TOKEN = "local-onelogin-token"


pytest_plugins = ("tests.app",)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No app setting of the person's own reaches a test, and nothing cached outlives one."""
    names = {setting.name for setting in all_settings()}
    for name in list(os.environ):
        if name.partition("__")[0] in names or name.startswith(SIGN_IN):
            monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, LOOPBACK)
    reset_process()
    yield
    reset_process()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The session's own certificate authority and server certificate."""
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Microsoft's storage emulator, in memory."""
    with Azurite() as running:
        yield running


@pytest.fixture
def storage(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty storage account, named by AzureWebJobsStorage; gives its connection string."""
    monkeypatch.setenv("AzureWebJobsStorage", azurite.connection_string)
    yield azurite.connection_string
    stop_aggregators()  # what would be reported in a minute is not, into the next test
    empty(azurite.connection_string)


def empty(connection: str) -> None:
    """Removes every table, queue and container."""
    from azure.data.tables import TableServiceClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

    with TableServiceClient.from_connection_string(connection) as tables:
        for table in list(tables.list_tables()):
            tables.delete_table(table.name)
    with QueueServiceClient.from_connection_string(connection) as queues:
        for queue in list(queues.list_queues()):
            queues.delete_queue(queue)
    with BlobServiceClient.from_connection_string(connection) as blobs:
        for container in list(blobs.list_containers()):
            blobs.delete_container(container)


@pytest.fixture
def identity(tls: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """A managed identity, as the app finds it in Azure; its certificates are trusted."""
    with Identity(tls) as running:
        monkeypatch.setenv("IDENTITY_ENDPOINT", running.endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", running.header)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        yield running


@pytest.fixture
def azure_monitor(
    identity: Identity, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureMonitor]:
    """Azure Monitor with every declared rule, to which the settings lead; it keeps raw records."""
    rules = {rule_id(setting): streams for setting, streams in declared_rules().items()}
    with AzureMonitor(identity, rules, tls) as running:
        monkeypatch.setenv("LogsIngestionEndpoint", running.url)
        for setting in rule_settings():
            monkeypatch.setenv(setting, rule_id(setting))
        yield running


@pytest.fixture
def sentinelone(monkeypatch: pytest.MonkeyPatch) -> Iterator[SentinelOne]:
    """An empty SentinelOne tenant, to which the settings lead."""
    with SentinelOne() as running:
        monkeypatch.setenv("SentinelOneUrl", running.url)
        monkeypatch.setenv("SentinelOneAPIToken", running.token)
        monkeypatch.setenv("SentinelOneRequestsPerSecond", "1000")
        yield running


@pytest.fixture
def jira(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jira]:
    """An empty Jira site, to which the settings lead."""
    with Jira() as running:
        monkeypatch.setenv("JiraHomeSiteName", running.url)
        monkeypatch.setenv("JiraUsername", running.username)
        monkeypatch.setenv("JiraAccessToken", running.token)
        yield running


@pytest.fixture
def settings_env(
    storage: str,
    azure_monitor: AzureMonitor,
    sentinelone: SentinelOne,
    jira: Jira,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Every app setting, leading to the local world; gives those that are set."""
    monkeypatch.setenv("OneLoginBearerToken", BEARER_TOKEN)
    names = [setting.name for setting in all_settings()]
    return {name: os.environ[name] for name in names if name in os.environ}
