"""The status page, the connection test and sending again; all of it stands in shared/status."""

from __future__ import annotations

import azure.functions as func


def main(req: func.HttpRequest) -> func.HttpResponse:
    """Answer GET or POST /api/Status."""
    # HTTP functions share a process: a webhook's cold start must not wait for this page's modules.
    from shared.status.handler import answer

    given = answer(req.method, req.params, req.headers.get("accept") or "", req.get_body())
    return func.HttpResponse(
        given.body,
        status_code=given.status,
        headers=dict(given.headers),
        mimetype=given.mimetype,
        charset="utf-8",
    )
