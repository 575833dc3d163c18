"""A key source: where an issuer publishes its keys, and one bounded attempt to fetch them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tokensvc.adapters.discovery import parse_jwks_uri
from tokensvc.adapters.http_client import Bounds, HTTPAnswer, HTTPClient, HTTPFailureError
from tokensvc.adapters.key_sets import MAX_JWKS_BYTES, KeyPolicyError, NamedKeys, keys_from_jwks

MIN_AGE_S: Final = 60.0
DEFAULT_AGE_S: Final = 300.0
_HEADERS: Final = {
    "Accept": "application/json, application/jwk-set+json",
    # Minutes pass until the next fetch: no server shall keep a connection for it.
    "Connection": "close",
}


class KeyFetchError(Exception):
    """There is no usable answer. *reason* is a fixed word, *detail* a fixed sentence or empty."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """A key set as it was published, and for how long that may be relied on."""

    keys: NamedKeys = field(repr=False)
    jwks: bytes = field(repr=False)
    max_age_s: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How a source is asked: for how long, whom TLS trusts, and the oldest answer that will do."""

    bounds: Bounds
    ca_file: Path | None = None
    max_age_s: float = DEFAULT_AGE_S


@dataclass(frozen=True, slots=True)
class KeySource:
    """The key set of *issuer* at *url*, which is its OpenID configuration if *is_discovery*."""

    issuer: str
    url: str
    algorithms: frozenset[str]
    is_discovery: bool
    reach: Reach

    def fetch(self) -> FetchedKeys:
        """Return what is published now, or raise `KeyFetchError`. Waits; never in a request."""
        url = self._discovered() if self.is_discovery else self.url
        answer = self._get(url)
        try:
            keys = keys_from_jwks(answer.body, self.algorithms)
        except KeyPolicyError as error:
            raise KeyFetchError("keys_refused", str(error)) from None
        age_s = lifetime_s(answer.cache_control, most_s=self.reach.max_age_s)
        return FetchedKeys(keys, answer.body, age_s)

    def _discovered(self) -> str:
        answer = self._get(self.url)
        try:
            return parse_jwks_uri(answer.body, self.issuer)
        except KeyPolicyError as error:
            raise KeyFetchError("configuration_refused", str(error)) from None

    def _get(self, url: str) -> HTTPAnswer:
        parts = urlsplit(url)
        path = parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
        client = HTTPClient(
            f"{parts.scheme}://{parts.netloc}",
            pool_size=1,
            bounds=replace(self.reach.bounds, answer_bytes=MAX_JWKS_BYTES),
            ca_file=self.reach.ca_file,
        )
        try:
            answer = client.send("GET", path, b"", _HEADERS)
        except HTTPFailureError as failure:
            raise KeyFetchError(failure.reason) from None
        if answer.status != 200:  # noqa: PLR2004 (nothing else is a key set, not even a 204)
            raise KeyFetchError(f"status_{answer.status}")
        return answer


def lifetime_s(cache_control: str, *, most_s: float) -> float:
    """Return for how many seconds an answer is fresh (RFC 9111, section 5.2.2), within bounds."""
    directives = dict(_directive(part) for part in cache_control.split(","))
    text = directives.get("max-age", "")
    age_s = float(text[:9]) if text.isascii() and text.isdigit() else DEFAULT_AGE_S
    if not directives.keys().isdisjoint({"no-cache", "no-store"}):
        age_s = MIN_AGE_S
    return min(max(age_s, MIN_AGE_S), most_s)


def _directive(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')
