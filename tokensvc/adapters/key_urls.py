"""Key URLs: where a service may ask for the keys that it will trust."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

MAX_URL_CHARS: Final = 1000
_URL: Final = re.compile(r"[!-~]+")
"""Printable ASCII without blanks: nothing in it needs to be guessed at."""


def is_loopback(host: str | None) -> bool:
    """Return whether *host* can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def parse_key_url(text: str) -> str:
    """Return the URL of a key set: https, or http on loopback; raises ValueError.

    Whoever can answer in its place signs for everybody. A query may be needed (some
    issuers name the tenant in it); credentials may not, since URLs are shown.
    """
    if len(text) > MAX_URL_CHARS or not _URL.fullmatch(text):
        raise ValueError("must be an https URL")
    try:
        url = urlsplit(text)
        is_whole = bool(url.hostname) and url.port != 0
    except ValueError:
        raise ValueError("must be an https URL") from None
    if url.scheme not in {"https", "http"} or not is_whole:
        raise ValueError("must be an https URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("must be https: only loopback may be reached over http")
    if "#" in text or "@" in url.netloc or "\\" in text:
        raise ValueError("must hold no fragment, credentials or backslash")
    return text
