"""Polls SentinelOne every five minutes; everything it does stands in shared/."""

import azure.functions as func

from shared.connectors.sentinelone import CONNECTOR
from shared.polling.handing_out import tick


def main(timer: func.TimerRequest) -> None:
    """One tick: raises, so that the host shows the invocation as failed, when any stream did."""
    tick(CONNECTOR)
