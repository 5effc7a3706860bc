"""The spool: work an outage off, and what an instance asks while the outage lasts."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import azure.functions.queue as functions_queue
import orjson
import requests

import DeliveryRetry
from bench.measures import EVENTS_A_POST, ONELOGIN
from bench.webhook import post_of
from shared.azure import storage
from shared.delivery.spool import QUEUE, Spool

Result = dict[str, Any]

# host.json: so many messages at a time.
_BATCH = 4
_FILLERS = 8


class _Requests:
    """Count the requests of this process by port."""

    def __init__(self) -> None:
        self.ports: Counter[int | None] = Counter()
        self._lock = threading.Lock()
        send = requests.Session.send

        def counted(
            session: requests.Session, request: requests.PreparedRequest, **options: Any
        ) -> requests.Response:
            with self._lock:
                self.ports[urlsplit(request.url or "").port] += 1
            return send(session, request, **options)

        requests.Session.send = counted  # type: ignore[method-assign, assignment]

    def to_monitor(self) -> int:
        """Requests to Azure Monitor so far."""
        endpoint = os.environ["LogsIngestionEndpoint"]  # noqa: SIM112  (the setting's name)
        return self.ports[urlsplit(endpoint).port]

    def to_queue(self) -> int:
        """Requests to the storage account's queues so far."""
        return self.ports[urlsplit(storage.queue(QUEUE).url).port]


def fill(posts: int, seed: int) -> None:
    """Spool so many posts of ten events, as the webhook does during an outage."""
    rng = random.Random(seed)
    bodies = [orjson.loads(post_of(rng).get_body()) for _ in range(posts)]
    spool = Spool()
    spool.put(ONELOGIN, list(map(orjson.dumps, bodies[0])))  # creates the queue
    with ThreadPoolExecutor(_FILLERS) as pool:
        list(pool.map(lambda body: spool.put(ONELOGIN, list(map(orjson.dumps, body))), bodies[1:]))


def work_off() -> int:
    """Call DeliveryRetry as the host does, four messages at a time, until none is visible."""
    queue = storage.queue(QUEUE)

    def work() -> int:
        invocations = 0
        while found := list(queue.receive_messages(max_messages=1, visibility_timeout=600)):
            message = functions_queue.QueueMessage(  # type: ignore[no-untyped-call]
                id=found[0].id, body=found[0].content.encode(), dequeue_count=1
            )
            DeliveryRetry.main(message)
            queue.delete_message(found[0])
            invocations += 1
        return invocations

    with ThreadPoolExecutor(_BATCH) as pool:
        return sum(future.result() for future in [pool.submit(work) for _ in range(_BATCH)])


def drained(posts: int, seed: int) -> Result:
    """Work off so many spooled posts, once Azure Monitor is back."""
    return _measured(posts, seed, until_empty=True)


def during_outage(posts: int, seed: int) -> Result:
    """Handle so many spooled posts while no one listens where Azure Monitor was."""
    os.environ["LogsIngestionEndpoint"] = "https://127.0.0.1:1"  # noqa: SIM112
    return _measured(posts, seed, until_empty=False)


def _measured(posts: int, seed: int, *, until_empty: bool) -> Result:
    fill(posts, seed)
    counted = _Requests()
    began, cpu = time.perf_counter(), time.process_time()
    invocations = work_off()
    while until_empty and Spool().depth():
        time.sleep(0.1)  # another invocation has them
        invocations += work_off()
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "invocations": invocations,
        "uploads": counted.to_monitor(),
        "storage": counted.to_queue(),
        "left": Spool().depth(),
        "sent": posts * EVENTS_A_POST,
    }
