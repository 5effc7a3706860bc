"""Polls Acme every five minutes."""

import azure.functions as func

from shared.connectors.acme import CONNECTOR
from shared.polling.run import poll


def main(timer: func.TimerRequest) -> None:
    """One tick: raises, so that the host shows the invocation as failed, when any stream did."""
    poll(CONNECTOR)
