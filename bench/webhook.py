"""The webhook beside a bare pass-through, both called as the Functions host calls them."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.functions as func
import orjson
from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient

import OneLoginWebhook
from bench.measures import EVENTS_A_POST

Result = dict[str, Any]
Main = Callable[[func.HttpRequest], func.HttpResponse]

# As many as the worker runs side by side with PYTHON_THREADPOOL_THREAD_COUNT at 32.
THREADS = 32
# Nothing listens there.
_NOBODY = "https://127.0.0.1:9"
_TOKEN = "made-up-bearer-token"  # noqa: S105


def post_of(rng: random.Random) -> func.HttpRequest:
    """A post of ten events, as OneLogin's JSON array."""
    events = [
        {
            "uuid": str(uuid.UUID(int=rng.getrandbits(128))),
            "event_timestamp": "2026-01-01 12:00:00 UTC",
            "event_type_id": rng.randrange(1, 700),
            "account_id": 12345,
            "user_id": rng.randrange(10**8),
            "user_name": f"Person {rng.randrange(1000)}",
            "ipaddr": f"203.0.113.{rng.randrange(256)}",
            "app_id": rng.randrange(10**6),
            "app_name": "Example app",
            "risk_score": rng.randrange(100),
            "notes": None,
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
        }
        for _ in range(EVENTS_A_POST)
    ]
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
    return func.HttpRequest("POST", "/api/onelogin", headers=headers, body=orjson.dumps(events))


@functools.cache
def _client() -> LogsIngestionClient:
    return LogsIngestionClient(
        os.environ["LogsIngestionEndpoint"],  # noqa: SIM112  (the setting's name)
        DefaultAzureCredential(),
    )


def pass_through(req: func.HttpRequest) -> func.HttpResponse:
    """A webhook that only uploads: no token, no time, no repeats, no spool."""
    rule_id = os.environ["OneLoginRuleId"]  # noqa: SIM112
    _client().upload(rule_id, "Custom-OneLogin", req.get_json())
    return func.HttpResponse(status_code=200)


def latency(posts: int) -> Result:
    """Seconds of each post, ours and bare in turn, so that other load hits both alike."""
    rng = random.Random(1)
    ways: dict[str, Main] = {"ours": OneLoginWebhook.main, "bare": pass_through}
    for way in ways.values():
        _timed(way, post_of(rng))  # signs in, opens the connection
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(posts):
        for name, way in ways.items():
            times[name].append(_timed(way, post_of(rng)))
    return {**times, "sent": (posts + 1) * EVENTS_A_POST * len(ways)}


def sustained(posts: int) -> Result:
    """Events a second on one core, with as many posts waiting as the worker has threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = random.Random(2)
    first = [post_of(rng) for _ in range(THREADS)]
    requests = [post_of(rng) for _ in range(posts)]
    send = functools.partial(_timed, OneLoginWebhook.main)
    with ThreadPoolExecutor(THREADS) as pool:
        # Sign in once first, as in production, where threads never start all at once.
        warm = [send(request) for request in first[:1]] + list(pool.map(send, first[1:]))
        began, cpu = time.perf_counter(), time.process_time()
        times = list(pool.map(send, requests))
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "times": times,
        "sent": (posts + len(warm)) * EVENTS_A_POST,
    }


def loaded(posts: int) -> Result:
    """Posts side by side, ours and bare in turn by the hundred; the times of each post."""
    rng = random.Random(3)
    ways: dict[str, Main] = {"ours": OneLoginWebhook.main, "bare": pass_through}
    with ThreadPoolExecutor(THREADS) as pool:
        for way in ways.values():
            _timed(way, post_of(rng))
            list(pool.map(functools.partial(_timed, way), [post_of(rng) for _ in range(THREADS)]))
        found = {name: _side_by_side(pool, way, posts, rng) for name, way in ways.items()}
    return {**found, "sent": (posts + 1 + THREADS) * EVENTS_A_POST * len(ways)}


def outage(posts: int) -> Result:
    """Posts while Azure Monitor cannot be reached; counts and removes the spooled events."""
    from shared.azure import storage
    from shared.delivery.spool import QUEUE, Message, Spool

    rng = random.Random(4)
    os.environ["LogsIngestionEndpoint"] = _NOBODY  # noqa: SIM112
    with ThreadPoolExecutor(THREADS) as pool:
        _timed(OneLoginWebhook.main, post_of(rng))  # opens the circuit breaker
        spooled = _side_by_side(pool, OneLoginWebhook.main, posts, rng)
    queue, spool, events = storage.queue(QUEUE), Spool(), 0
    for message in queue.receive_messages(messages_per_page=32, visibility_timeout=600):
        events += len(spool.records(Message.read(message.content)) or ())
        queue.delete_message(message)
    assert events == (posts + 1) * EVENTS_A_POST, f"{events} events are in the spool"
    return spooled


def beside_polls(posts: int) -> Result:
    """Seconds of each post, alone and then while handed-out connections are polled.

    All in one process, as on a plan that does not scale each function by itself.
    """
    from bench.worker import hand_out, poll_connections

    rng = random.Random(5)
    send = functools.partial(_timed, OneLoginWebhook.main)
    send(post_of(rng))  # signs in, opens the connection
    alone = [send(post_of(rng)) for _ in range(posts)]
    hand_out()
    polled: list[Result] = []
    polling = threading.Thread(target=lambda: polled.append(poll_connections(rounds=0)))
    polling.start()
    beside = []
    while polling.is_alive():
        beside.append(send(post_of(rng)))
    sent = (1 + len(alone) + len(beside)) * EVENTS_A_POST
    return {"alone": alone, "beside": beside, **polled[0], "sent": sent}


def _side_by_side(pool: ThreadPoolExecutor, way: Main, posts: int, rng: random.Random) -> Result:
    requests = [post_of(rng) for _ in range(posts)]
    began, cpu = time.perf_counter(), time.process_time()
    times = list(pool.map(functools.partial(_timed, way), requests))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu": time.process_time() - cpu, "times": times}


def _timed(way: Main, request: func.HttpRequest) -> float:
    began = time.perf_counter()
    answer = way(request)
    took = time.perf_counter() - began
    assert answer.status_code == 200, answer.get_body()
    return took
