"""Receives OneLogin's events; see ``shared.webhook.receiver`` for its answers."""

from __future__ import annotations

import azure.functions as func

from shared.connectors.onelogin import CONNECTOR
from shared.health.webhook import report_post
from shared.runtime.process import process_singleton
from shared.webhook.receiver import Webhook


@process_singleton
def _webhook() -> Webhook:
    return Webhook(CONNECTOR, report=report_post)


def main(req: func.HttpRequest) -> func.HttpResponse:
    """Answer one POST."""
    answer = _webhook().answer(req.headers, req.get_body())
    return func.HttpResponse(
        answer.text, status_code=answer.status, headers=dict(answer.headers), mimetype="text/plain"
    )
