"""Polls SentinelOne every five minutes; everything it does stands in shared/."""

import azure.functions as func

from shared.connectors.sentinelone import CONNECTOR
from shared.polling.run import poll


def main(timer: func.TimerRequest) -> None:
    """One tick: raises, so that the host shows the invocation as failed, when any stream did."""
    poll(CONNECTOR)
