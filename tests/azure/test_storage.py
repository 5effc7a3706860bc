"""Storage errors and create-on-first-use, on the storage emulator."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceResponseError

from local.loopback.certificates import Certificates
from local.loopback.faults import silence
from local.loopback.server import LocalServer
from shared.azure import storage as clients
from shared.azure.storage import create_on_first_use, storage_errors
from shared.errors import SettingsError, StorageUnavailable
from shared.http import session

ENTITY = {"PartitionKey": "p", "RowKey": "r"}
OTHER_KEY = base64.b64encode(b"the key of another account").decode()
READS: dict[str, Callable[[], object]] = {
    "table": lambda: clients.table("Things").get_entity("p", "r"),
    "queue": lambda: clients.queue("things").get_queue_properties(),
    "blob": lambda: clients.container("things").get_container_properties(),
}
reads = pytest.mark.parametrize("read", READS.values(), ids=READS)


def test_a_missing_table_is_created_with_its_first_row(storage: str) -> None:
    """A new storage account needs no preparation."""
    table = clients.table("Things")
    create_on_first_use(table.create_table, lambda: table.create_entity(ENTITY))
    assert table.get_entity("p", "r")["RowKey"] == "r"


def test_two_first_uses_at_once_both_succeed(storage: str) -> None:
    """The instance that creates second finds the queue there, and sends its message too."""
    queue = clients.queue("things")

    def use() -> object:
        return create_on_first_use(queue.create_queue, lambda: queue.send_message("x"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: use(), range(4)))
    assert queue.get_queue_properties().approximate_message_count == 4


@reads
def test_an_unexpected_answer_is_a_fault(storage: str, read: Callable[[], object]) -> None:
    """Not-found too, if it leaves the block: the message has the operation and the status."""
    with pytest.raises(StorageUnavailable) as raised, storage_errors("Reading a thing"):
        read()
    assert str(raised.value).startswith("Reading a thing failed with HTTP 404")


@reads
def test_an_answer_caught_inside_is_no_fault(storage: str, read: Callable[[], object]) -> None:
    """The caller decides what a missing row means."""
    with storage_errors("Reading a thing"), pytest.raises(ResourceNotFoundError):
        read()


@reads
def test_a_refused_key_names_the_setting_and_all_roles(
    storage: str, monkeypatch: pytest.MonkeyPatch, read: Callable[[], object]
) -> None:
    """The same advice whichever service refuses: the app needs all three."""
    parts = [part for part in storage.split(";") if not part.startswith("AccountKey=")]
    monkeypatch.setenv("AzureWebJobsStorage", ";".join([*parts, f"AccountKey={OTHER_KEY}"]))
    clients.forget_clients()
    with pytest.raises(StorageUnavailable, match="HTTP 403") as raised, storage_errors("Reading"):
        read()
    for term in ("AzureWebJobsStorage", "Blob Data Owner", "Queue Data", "Table Data"):
        assert term in str(raised.value)
    assert OTHER_KEY not in str(raised.value)


def test_a_fault_of_the_program_is_no_storage_error(storage: str) -> None:
    """A ValueError of this project's own code keeps its class, and is reported as what it is."""
    with pytest.raises(ValueError, match="invalid literal"), storage_errors("Reading a thing"):
        int("x")


@reads
@pytest.mark.parametrize("address", ["https://", "https://[", "//acme.example", "/"])
def test_an_address_that_is_none_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, address: str, read: Callable[[], object]
) -> None:
    """It is a setting to change, no fault of the program."""
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    for service in ("table", "queue", "blob"):
        monkeypatch.setenv(f"AzureWebJobsStorage__{service}ServiceUri", address)
    clients.forget_clients()
    with pytest.raises(SettingsError, match=r"^AzureWebJobsStorage__\w+ServiceUri \(or"):
        read()


async def nothing(_: web.Request) -> web.Response:
    return web.Response(status=404)


def account(server: LocalServer) -> str:
    """A connection string whose three services are the server."""
    services = ";".join(f"{name}Endpoint={server.url}" for name in ("Blob", "Queue", "Table"))
    return f"AccountName=acme;AccountKey={OTHER_KEY};{services}"


def test_the_services_of_storage_share_the_certificates_that_are_read_once(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client of Azure's would read the CA bundle for each of its connections."""
    with LocalServer([web.route("*", "/{p:.*}", nothing)], tls=tls.server_context()) as server:
        monkeypatch.setenv("AzureWebJobsStorage", account(server))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
        clients.forget_clients()
        session._loading.cache_clear()
        for read in READS.values():
            with pytest.raises(HttpResponseError, match="Not Found"):
                read()
    assert session._loading.cache_info().misses == 1


@reads
def test_storage_that_is_silent_is_waited_for_so_long(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], object]
) -> None:
    """As the timeouts say, and not the SDKs' five minutes."""
    monkeypatch.setitem(clients._TIMEOUTS, "read_timeout", 0.1)
    monkeypatch.setitem(clients._SHORT_RETRIES, "retry_total", 0)
    with LocalServer([web.route("*", "/{p:.*}", nothing)]) as server:
        server.faults.add("", silence(), times=9)
        monkeypatch.setenv("AzureWebJobsStorage", account(server))
        clients.forget_clients()
        with pytest.raises(ServiceResponseError):
            read()
