"""The storage emulator keeps its data however its parent process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from local.world import storage
from tools.project import ROOT

WRITE = """
import sys
from pathlib import Path
from azure.data.tables import TableServiceClient
from local.world import storage
with storage(Path(sys.argv[1])) as connection:
    with TableServiceClient.from_connection_string(connection) as service:
        service.create_table("kept").create_entity({"PartitionKey": "a", "RowKey": "b"})
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of POSIX")
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM"])
def test_a_killed_parent_loses_nothing_of_it(tmp_path: Path, ending: str) -> None:
    """The emulator saves by itself, and the next one waits for that."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.Signals[ending])
    process.communicate()
    with (
        storage(tmp_path) as connection,
        TableServiceClient.from_connection_string(connection) as service,
    ):
        assert [each["RowKey"] for each in service.get_table_client("kept").list_entities()] == [
            "b"
        ]
