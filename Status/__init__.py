"""The status page, with its connection test and redrive; see shared/status."""

from __future__ import annotations

import azure.functions as func


def main(req: func.HttpRequest) -> func.HttpResponse:
    """Answer GET or POST /api/Status."""
    # HTTP functions share a process: keep the page's modules, Jinja2 among them, out of a webhook's
    # cold start.
    from shared.status.handler import answer

    response = answer(req.method, req.params, req.headers.get("accept") or "", req.get_body())
    return func.HttpResponse(
        response.body,
        status_code=response.status,
        headers=dict(response.headers),
        mimetype=response.mimetype,
        charset="utf-8",
    )
