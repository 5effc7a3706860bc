"""Polls OneLogin's API every five minutes, where it is set up; all it does stands in shared/."""

import azure.functions as func

from shared.connectors.onelogin import CONNECTOR
from shared.polling.handing_out import tick


def main(timer: func.TimerRequest) -> None:
    """One tick: raises, so that the host shows the invocation as failed, when any stream did."""
    tick(CONNECTOR)
