"""A vendor's HTTP client: deadlines, retries, Retry-After, a rate limit, a limit on size.

Retry 408, 429, 5xx, connection errors and timeouts, up to five tries a request: after Retry-After
if the vendor sends it and the run's time allows, else with exponential backoff and jitter. 400,
401, 403 and 404 are final. Ask for smaller pages where one is too large, or does not come in time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3

from shared import VERSION
from shared.errors import VendorAnswerInvalid, VendorRefused, VendorUnavailable
from shared.http.headers import http_date, wait_seconds
from shared.http.session import session_for
from shared.records.raw import parse_answer
from shared.runtime.backoff import exponential_backoff, jittered
from shared.runtime.turns import TURNS
from shared.source.advice import Advice
from shared.source.credentials import ClientCredentials
from shared.source.page_limit import PageLimit
from shared.source.rate_limit import slots_of

TRIES = 5
MAX_ANSWER_BYTES = 64_000_000
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_ANSWER_SECONDS = 90.0
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 30.0
_CHUNK_BYTES = 1 << 17
# Gateways that gave up waiting for the vendor's own servers.
_TOO_SLOW = frozenset({408, 504, 524})
_TIMEOUTS = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
# A poll whose vendor does not answer at all ends within a minute, with what it writes down.
SILENCE_SECONDS = 50.0
# More than the requests that any connector sends in parallel.
_CONNECTIONS = 10

logger = logging.getLogger("connectors.vendor")


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A vendor's JSON, its size in bytes, and the time of its ``Date`` header."""

    json: Any
    size: int
    vendor_time: datetime | None
    vendor: str
    path: str

    def require(self, *names: str) -> Any:
        """Return the value at the path ``names``; raises VendorAnswerInvalid if it is missing."""
        value = self.json
        for depth, name in enumerate(names):
            if not isinstance(value, dict) or name not in value:
                raise self.invalid(f"without {'.'.join(names[: depth + 1])!r}")
            value = value[name]
        return value

    def invalid(self, how: str) -> VendorAnswerInvalid:
        """Return the error for a response that breaks the API's contract; ``how`` ends its text."""
        return VendorAnswerInvalid(f"{self.vendor} answered {self.path} {how}")


class _RetryableError(Exception):
    """A try failed, and a retry may succeed; ``wait`` is the Retry-After in seconds.

    ``slow`` says that the answer did not come in time, and that a smaller one may.
    """

    def __init__(
        self,
        what: str,
        status: int | None = None,
        wait: float | None = None,
        *,
        slow: bool = False,
    ) -> None:
        self.what, self.status, self.wait, self.slow = what, status, wait, slow
        super().__init__(what)


class _AnswerTooLarge(VendorAnswerInvalid):
    """The answer has more than ``MAX_ANSWER_BYTES``: a smaller page may not."""


class ApiClient:
    """The connection to a vendor for one run; thread-safe.

    ``address`` is a URL of the host of all requests; ``headers`` have the sign-in, or
    ``credentials`` get a token for it, and another one once where that is refused. Clients of one
    host in a process share its requests a second, from which the first ``burst`` requests of a
    client are free. A vendor that answers nothing at all within
    ``SILENCE_SECONDS`` of the first request is asked no more.
    ``advice`` gives, for a final status, the setting or permission to check. Call ``begin``
    before each stream.
    """

    def __init__(
        self,
        advice: Advice,
        address: str,
        headers: Mapping[str, str],
        requests_per_second: float | None = None,
        *,
        burst: int = 0,
        credentials: ClientCredentials | None = None,
    ) -> None:
        self._vendor = advice.vendor
        self._burst = burst
        self._credentials = credentials
        self._advice = advice
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"sentinel-connectors/{VERSION}",
            **headers,
        }
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._slots = slots_of(urlsplit(address).netloc.lower())
        self._lock = threading.Lock()
        self._silent_since: float | None = None
        self._answered = False
        self._deadline = time.monotonic() + _ANSWER_SECONDS
        self._session = session_for(address, _CONNECTIONS)
        self.requests = 0
        self.retries = 0

    def begin(self, deadline: float) -> None:
        """Set the stream's deadline (a reading of ``time.monotonic``), and reset the counts."""
        self._deadline = deadline
        self.requests = self.retries = 0

    @property
    def silent(self) -> bool:
        """Whether the vendor was asked, and no answer of any kind has come."""
        return self._silent_since is not None and not self._answered

    def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        shape: type[msgspec.Struct] | None = None,
        limit: PageLimit | None = None,
    ) -> ApiResponse:
        """Return the JSON at ``url``, decoded by ``shape`` if it fits; raises a VendorError.

        ``limit`` is added to ``params``, and lowered where the answer is too large or too slow.
        """
        return self._signed_request("GET", url, shape, limit, params=params)

    def post(self, url: str, body: Mapping[str, Any]) -> ApiResponse:
        """POST ``body`` as JSON and return the response; only for requests that change nothing."""
        return self._signed_request("POST", url, None, None, json=body)

    @property
    def has_sign_in(self) -> bool:
        """Whether a sign-in is a request, which ``sign_in`` sends."""
        return self._credentials is not None

    def sign_in(self) -> None:
        """Get a token, unless the process has a valid one; raises a VendorError."""
        if self._credentials is not None:
            self._credentials.token(self._ask_for_token)

    def _ask_for_token(
        self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> ApiResponse:
        return self._request_with_retries("POST", url, None, None, headers=headers, json=body)

    def _signed_request(
        self,
        method: str,
        url: str,
        shape: type[msgspec.Struct] | None,
        limit: PageLimit | None,
        **payload: Any,
    ) -> ApiResponse:
        """Send a request with the sign-in; get another token once where the vendor answers 401."""
        if self._credentials is None:
            return self._request_with_retries(method, url, shape, limit, **payload)
        token = self._credentials.token(self._ask_for_token)
        try:
            return self._request_with_retries(
                method, url, shape, limit, headers=_bearer(token), **payload
            )
        except VendorRefused as error:
            if error.status != 401:
                raise
        token = self._credentials.token(self._ask_for_token, refused=token)
        return self._request_with_retries(
            method, url, shape, limit, headers=_bearer(token), **payload
        )

    def _request_with_retries(
        self,
        method: str,
        url: str,
        shape: type[msgspec.Struct] | None,
        limit: PageLimit | None,
        **payload: Any,
    ) -> ApiResponse:
        path = urlsplit(url).path
        for tried in range(1, TRIES + 1):
            if limit is not None:
                payload["params"] = {**(payload.get("params") or {}), limit.name: limit.value}
            try:
                return self._request_once(method, url, path, shape, **payload)
            except _AnswerTooLarge:
                if tried == TRIES or not self._lower(limit, path):
                    raise
            except _RetryableError as failed:
                if failed.slow:
                    self._lower(limit, path)
                pause = exponential_backoff(tried - 1, first=_FIRST_WAIT, cap=_LONGEST_WAIT)
                wait = failed.wait or jittered(pause)  # Retry-After: 0 still backs off
                out_of_time = time.monotonic() + wait >= self._until()
                if tried == TRIES or out_of_time:
                    why = f"tried {tried} times"
                    if out_of_time:
                        why = "no answer at all in this run" if self.silent else "its time is over"
                    asked = "" if failed.wait is None else f", it asks to wait {failed.wait:.0f} s"
                    raise VendorUnavailable(
                        f"{self._vendor} did not answer {path}: {failed.what} ({why}{asked}). "
                        "Nothing is lost, the next run goes on from here",
                        status=failed.status,
                        retry_after=failed.wait,
                    ) from failed
                with self._lock:
                    self.retries += 1
                logger.debug("%s %s: %s, again in %.1f s", self._vendor, path, failed.what, wait)
                time.sleep(wait)
        raise AssertionError("the loop returns or raises")

    def _lower(self, limit: PageLimit | None, path: str) -> bool:
        """Ask for smaller pages from now on; return whether there are any."""
        if limit is None or not limit.lower():
            return False
        logger.info("%s %s: pages of %d records from now on", self._vendor, path, limit.value)
        return True

    def _until(self) -> float:
        """Until when to ask: the stream's deadline, or an earlier one for a vendor that is silent.

        A vendor that does not answer delays neither the run's other streams nor other connections.
        """
        if self._answered or self._silent_since is None:
            return self._deadline
        return min(self._deadline, self._silent_since + SILENCE_SECONDS)

    def _throttle(self) -> None:
        """Wait for the next slot of the host's rate limit."""
        with self._lock:
            self.requests += 1
            self._burst -= 1
            free = self._burst >= 0
        pause = 0.0 if free else self._slots.take(self._interval)
        if pause > 0:
            time.sleep(pause)
        if self._silent_since is None:
            self._silent_since = time.monotonic()

    def _request_once(
        self,
        method: str,
        url: str,
        path: str,
        shape: type[msgspec.Struct] | None,
        *,
        headers: Mapping[str, str] | None = None,
        **payload: Any,
    ) -> ApiResponse:
        self._throttle()
        left = self._until() - time.monotonic()
        if left <= 0:
            raise _RetryableError("no time was left to ask")
        try:
            response = self._session.request(
                method,
                url,
                headers={**self._headers, **(headers or {})},
                timeout=(min(_CONNECT_SECONDS, left), min(_READ_SECONDS, left)),
                allow_redirects=False,
                stream=True,
                **payload,
            )
            self._answered = True
            with response:
                body = self._read_body(response, path)
        except requests.exceptions.SSLError:
            raise VendorUnavailable(
                f"{self._vendor}: the TLS certificate of {urlsplit(url).hostname} could not be "
                "verified; behind an inspecting proxy, REQUESTS_CA_BUNDLE must name its authority"
            ) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            slow = isinstance(error, _TIMEOUTS)
            raise _RetryableError(self._named(error), slow=slow) from error
        self._raise_for_status(response, path)
        vendor_time = http_date(response.headers.get("Date"))
        with contextlib.suppress(ValueError, RecursionError):
            with TURNS.take():
                parsed = parse_answer(body, shape)
            return ApiResponse(parsed, len(body), vendor_time, self._vendor, path)
        answered = self._describe_body(response, body, path)
        del body  # or the error's traceback would keep it for the whole run
        raise VendorAnswerInvalid(answered)

    def _named(self, error: Exception) -> str:
        """Name an error by its class alone: its text may hold the URL with its parameters.

        A host without an address is most often one that is misspelt: say which setting it is from.
        """
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(reason, urllib3.exceptions.NameResolutionError):
            return f"its host has no address (DNS), {self._advice.filled(self._advice.texts[None])}"
        return type(error).__name__

    def _read_body(self, response: requests.Response, path: str) -> bytes:
        """Return the body, within a deadline and a size limit, however slowly it arrives."""
        until = min(time.monotonic() + _ANSWER_SECONDS, self._deadline)
        chunks: list[bytes] = []
        size = 0
        inflate = None
        if "gzip" in response.headers.get("Content-Encoding", "").lower():
            inflate = zlib.decompressobj(wbits=31)
        raw = response.raw
        while chunk := raw.read1(_CHUNK_BYTES, decode_content=False):
            if inflate is not None:
                try:
                    chunk = inflate.decompress(chunk, MAX_ANSWER_BYTES)
                except zlib.error:
                    raise _RetryableError("a broken gzip body", response.status_code) from None
                if inflate.unconsumed_tail:
                    size = MAX_ANSWER_BYTES
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise _AnswerTooLarge(
                    f"{self._vendor} answered {path} with more than {MAX_ANSWER_BYTES:,} bytes"
                )
            if time.monotonic() > until:
                raise _RetryableError("the answer came too slowly", response.status_code, slow=True)
        if inflate is not None and not inflate.eof:
            raise _RetryableError("the answer was cut short", response.status_code)
        expected = response.headers.get("Content-Length")
        if inflate is None and expected and expected.isdigit() and int(expected) != size:
            raise _RetryableError("the answer was cut short", response.status_code)
        return b"".join(chunks)

    def _raise_for_status(self, response: requests.Response, path: str) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in (408, 429) or status >= 500:
            wait = wait_seconds(response.headers)
            raise _RetryableError(f"HTTP {status}", status, wait, slow=status in _TOO_SLOW)
        if 300 <= status < 400:
            raise VendorAnswerInvalid(
                f"{self._vendor} answered {path} with a redirect (HTTP {status}): "
                f"{self._advice(status)}"
            )
        raise VendorRefused(
            f"{self._vendor} refused {path} with HTTP {status}: {self._advice(status)}",
            status=status,
        )

    def _describe_body(self, response: requests.Response, body: bytes, path: str) -> str:
        kind = response.headers.get("Content-Type", "no content type").split(";")[0][:80]
        what = f"{len(body)} bytes of {kind}" if body else "an empty body"
        return f"{self._vendor} answered {path} with {what} instead of JSON: {self._advice(200)}"


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
