"""The local world: storage, sign-in, Azure Monitor and workspace, wired up and kept in .local/."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.azure.azurite import Azurite
from local.azure.entra import Identity
from local.azure.logs_ingestion import AzureMonitor, app_settings, declared_rules, rule_id
from local.loopback.certificates import certificates
from local.workspace.workspace import Workspace
from shared.connections.registry import all_settings
from tools.project import ROOT

FOLDER = ROOT / ".local"
SIGN_IN = ("AZURE_", "IDENTITY_", "MSI_", "IMDS_")
LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Destination:
    """A local Azure Monitor with its workspace, and the app settings that lead there."""

    monitor: AzureMonitor
    workspace: Workspace
    settings: Mapping[str, str]


@contextmanager
def storage(folder: Path | None) -> Iterator[str]:
    """Run the storage emulator on the folder's data; yield its connection string."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with Azurite(folder) as azurite:
        yield azurite.connection_string


@contextmanager
def destination(workspace: Path) -> Iterator[Destination]:
    """Run Azure Monitor over TLS with a managed identity; it fills the workspace's file."""
    tls = certificates()
    rules = {rule_id(setting): streams for setting, streams in declared_rules().items()}
    workspace.parent.mkdir(parents=True, exist_ok=True)
    rows = Workspace(workspace)
    try:
        with (
            Identity(tls) as identity,
            AzureMonitor(
                identity, rules, tls, workspace=rows, journal=workspace.with_suffix(".accepted")
            ) as monitor,
        ):
            yield Destination(monitor, rows, app_settings(monitor, identity, tls))
    finally:
        rows.close()


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set these app settings and no others until the block ends.

    The person's settings and sign-in are removed meanwhile, and loopback bypasses any proxy.
    """
    known = {setting.name for setting in all_settings()}
    before = dict(os.environ)
    for name in before:
        if name.partition("__")[0] in known or name.startswith(SIGN_IN):
            del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [before.get(name, ""), LOOPBACK]))
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
