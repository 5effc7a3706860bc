"""Unified alerts, by GraphQL: the newest and least certain of SentinelOne's interfaces.

The query stands here alone. No order is promised, so a window is collected and sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.connectors.sentinelone.answers import API, epoch_milliseconds, list_of
from shared.records.raw import decoded, records_of
from shared.source.ascending import ascending
from shared.source.client import ApiClient
from shared.source.cursors import CursorWatch
from shared.source.stream import Page, Stream, Window

PATH = "/unifiedalerts/graphql"
LIMIT = 100

QUERY = """
query UnifiedAlerts($first: Int, $after: String, $filters: [FilterInput!]) {
  alerts(first: $first, after: $after, filters: $filters) {
    totalCount
    pageInfo { endCursor hasNextPage }
    edges {
      node {
        id name description severity status analystVerdict classification confidenceLevel
        detectedAt createdAt updatedAt firstSeenAt lastSeenAt externalId storylineId result
        noteExists attackSurfaces
        detectionSource { engine product }
        asset { id name type category subcategory agentUuid agentVersion osType osVersion }
        assignee { email fullName }
        process { cmdLine username file { path sha1 sha256 } }
      }
    }
  }
}
"""


class UnifiedAlerts:
    """The unified alert management as a source."""

    parallelism = 1

    def __init__(self, client: ApiClient, url: str, stream: Stream) -> None:
        self.stream = stream
        self._client = client
        self._url = url + API + PATH

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        """One page a window, or a half of a half of one, oldest alert first."""
        if window is None:
            raise ValueError("unified alerts are read by windows")
        return ascending(window, self._in_any_order, self.stream.watermark, LIMIT, after)

    def _in_any_order(self, window: Window, after: str) -> Iterator[Page]:
        # Whether the range's ends belong to it is nowhere said: a millisecond more on both sides.
        start, end = epoch_milliseconds(window)
        variables: dict[str, Any] = {
            "first": LIMIT,
            "filters": [
                {"fieldId": "detectedAt", "dateTimeRange": {"start": start - 1, "end": end + 1}}
            ],
        }
        if after:
            variables["after"] = after
        watch = CursorWatch(after)
        while True:
            response = self._client.post(self._url, {"query": QUERY, "variables": variables})
            edges = list_of(response, "data", "alerts", "edges")
            nodes = records_of([decoded(edge).get("node") for edge in edges])
            if nodes is None:
                raise response.invalid("with edges without a node")
            alerts = response.json["data"]["alerts"]
            count = alerts.get("totalCount")
            more = response.require("data", "alerts", "pageInfo", "hasNextPage")
            following = alerts["pageInfo"].get("endCursor")
            if more and not following:
                raise response.invalid("without an endCursor")
            watch.check(response, str(following) if more else "", "endCursor")
            yield Page(
                nodes,
                response.size,
                count if isinstance(count, int) else None,
                response.vendor_time,
                cursor=str(following) if more else "",
            )
            if not more:
                return
            variables["after"] = following
