"""Takes OneLogin's events as they are posted; ``shared.webhook`` says with which answers."""

from __future__ import annotations

import azure.functions as func

from shared.connectors.onelogin import SOURCE
from shared.health import WebhookHealth
from shared.once import once
from shared.webhook import Webhook


@once
def _webhook() -> Webhook:
    return Webhook(SOURCE, report=WebhookHealth(SOURCE.name, SOURCE.stream).report)


def main(req: func.HttpRequest) -> func.HttpResponse:
    """Answer one POST."""
    answer = _webhook().answer(req.headers, req.get_body())
    return func.HttpResponse(
        answer.text, status_code=answer.status, headers=dict(answer.headers), mimetype="text/plain"
    )
