"""Checks: what a single value of the settings must be, and the sentence if it is not."""

import errno
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from cryptography.x509 import load_pem_x509_certificates
from limits import parse_many
from pydantic import SecretStr
from redis.connection import parse_url

from tokensvc.adapters.engines import parse_database_url
from tokensvc.adapters.key_sets import PUBLIC_KEY_ALGORITHMS, SECRET_ALGORITHMS
from tokensvc.adapters.key_urls import is_loopback, parse_key_url
from tokensvc.domain.uids import MAX_PREFIX_CHARS, is_legal_prefix

_ORIGIN: Final = re.compile(
    r"(https?)://(?:([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)|\[([0-9a-f:]+)\])(?::([1-9][0-9]{0,4}))?"
)
_OWN_PORTS: Final = {"http": "80", "https": "443"}
_MAX_PORT: Final = 65_535
_ZERO: Final = re.compile(r"(?<!\d)0+(?!\d)")
_DELAY: Final = re.compile(r"[0-9]{1,9}[smhd]")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_DELAY_S: Final = 3660 * 86_400
MAX_FILE_BYTES: Final = 1024 * 1024
MIN_MASKED_CHARS: Final = 6
"""Masking a shorter password would make the log unreadable and tell what it is."""
MAX_WINDOW_S: Final = 366 * 86400
MIN_API_KEY_CHARS: Final = 8
_TLS_OPTIONS: Final = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"),
        *("ssl_cert_reqs", "ssl_check_hostname"),
    }
)
STORAGE_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "memory": frozenset(),
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db"}) | _TLS_OPTIONS,
    "redis+unix": frozenset({"db"}),
}
"""What a storage's URL may ask of its library: the time-outs, for one, are ours."""
STORAGE_SCHEMES: Final = tuple(STORAGE_OPTIONS)


def read_file(path: Path) -> bytes:
    """Return what is in a file of the operator's; raises OSError if it is none, or too large.

    A pipe or a device in its place would be waited for, or would never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MAX_FILE_BYTES} bytes")
    return content


class ReadOnce:
    """Files as they were when they were checked: what is checked is what is used."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytes] = {}

    def __eq__(self, other: object) -> bool:
        # Settings are equal if they say the same, whatever was read for them.
        return isinstance(other, ReadOnce)

    __hash__ = None  # type: ignore[assignment]  # (as for whatever is compared by its content)

    def read(self, path: Path) -> bytes:
        """Return what is in *path*, as `read_file` does at the first time."""
        if path not in self._contents:
            self._contents[path] = read_file(path)
        return self._contents[path]


def read_text(path: Path) -> str:
    """Return what is in a file of text; a ValueError says what is wrong with it."""
    try:
        return read_file(path).decode("utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        # No UTF-8, or a path with a null byte in it.
        raise ValueError("is not UTF-8") from None


def secret_text(path: Path) -> str:
    """Return the secret in a file, without its line break; a ValueError says what is wrong."""
    text = read_text(path).strip("\r\n")
    if not text:
        raise ValueError("is empty")
    return text


def base_url(text: str) -> str:
    """Return the URL of an API: https, or http on loopback."""
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError("must be an https URL") from None
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise ValueError("must be an https URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("must be https: only loopback may be reached over http")
    if url.query or url.fragment or "@" in url.netloc:
        raise ValueError("must hold no query, fragment or credentials")
    return text.rstrip("/")


def listed(value: object) -> object:
    """Return *value* as a list, where one alone may stand for a list of one."""
    return [value] if isinstance(value, str) else value


def key_url(text: str) -> str:
    """Return the URL of a key set, which may have a query."""
    return parse_key_url(text)


def certificates(path: Path) -> Path:
    """Return the path of a file with PEM certificates."""
    try:
        load_pem_x509_certificates(read_file(path))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("holds no PEM certificates") from None
    return path


def origin(text: str) -> str:
    """Return a web origin as browsers send it: in lower case, without its scheme's own port.

    Source: the serialization of an origin in WHATWG's HTML and URL standards.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if not found or int(found[4] or 0) > _MAX_PORT:
        raise ValueError("must be an origin like https://app.example.com: no path, no *")
    scheme, name, address, port = found.groups()
    host = name or f"[{IPv6Address(address).compressed}]"
    colon_and_port = "" if port in {None, _OWN_PORTS[scheme]} else f":{port}"
    return f"{scheme}://{host}{colon_and_port}"


def proxy_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return a network of proxies; everybody is none."""
    if network.prefixlen == 0:
        raise ValueError("must not be all addresses: every client could name any as its own")
    return network


def rate_limits(text: str) -> str:
    """Return limits that `limits` understands and that make sense."""
    try:
        limits = parse_many(text)
    except ValueError:
        raise ValueError("must look like '10 per minute; 200 per day'") from None
    windows = [limit.get_expiry() for limit in limits]
    if _ZERO.search(text):
        raise ValueError("must allow at least 1 in a window of at least 1")
    if len(set(windows)) != len(windows) or max(windows) > MAX_WINDOW_S:
        raise ValueError("must have windows that differ, of a year at most")
    return text


def storage_url(secret: SecretStr) -> SecretStr:
    """Return the URL of a storage for limits; what is wrong with it is never quoted."""
    text = secret.get_secret_value()
    scheme, separator, _ = text.partition("://")
    if scheme not in STORAGE_SCHEMES or not separator:
        raise ValueError(f"must begin with one of {', '.join(STORAGE_SCHEMES)} and ://")
    try:
        url = urlsplit(text)
        options = {} if scheme == "memory" else _redis_options(text)
    except ValueError:
        # From their texts a part of the password could be read.
        raise ValueError("is no URL; in a password write # as %23, / as %2F and so on") from None
    if url.fragment or "password" in url.query or "username" in url.query:
        raise ValueError("must have its password before the host, with # written as %23")
    if options.get("ssl_cert_reqs", "required") != "required" or not options.get(
        "ssl_check_hostname", True
    ):
        raise ValueError("must not turn the verification of certificates off")
    allowed = STORAGE_OPTIONS[scheme]
    if not {name for name, _ in parse_qsl(url.query, keep_blank_values=True)} <= allowed:
        raise ValueError(f"may have no options but {', '.join(sorted(allowed)) or 'none'}")
    return secret


def _redis_options(text: str) -> dict[str, object]:
    """Return what redis-py reads out of a URL; raises ValueError."""
    options: dict[str, object] = parse_url(  # type: ignore[no-untyped-call]
        text.replace("redis+unix", "unix")
    )
    return options


def database_url(secret: SecretStr) -> SecretStr:
    """Return the URL of a database; what is wrong with it is never quoted."""
    parse_database_url(secret.get_secret_value())
    return secret


def header_safe(secret: SecretStr) -> SecretStr:
    """Return a key that can travel in a header."""
    value = secret.get_secret_value()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("must be printable ASCII without blanks")
    if len(value) < MIN_API_KEY_CHARS:
        raise ValueError(f"must have at least {MIN_API_KEY_CHARS} characters")
    return secret


def algorithm(text: str) -> str:
    """Return the name of a signature algorithm that may be used."""
    known = SECRET_ALGORITHMS | PUBLIC_KEY_ALGORITHMS
    if text not in known:
        raise ValueError(f"must be one of {', '.join(sorted(known))}")
    return text


def uid_prefix(text: str) -> str:
    """Return what may begin uids."""
    if not is_legal_prefix(text):
        raise ValueError(f"must be at most {MAX_PREFIX_CHARS} of a-z, 0-9, _ and -")
    return text


def delay(text: str) -> str:
    """Return a delay as it is written: a number with its unit, or never."""
    if text != "never" and not _DELAY.fullmatch(text):
        raise ValueError('must be like "30d", "12h", "90m", "45s" or "0s", or "never"')
    if (delay_s(text) or 0.0) > MAX_DELAY_S:
        raise ValueError("must be at most ten years (3660d)")
    return text


def delay_s(text: str) -> float | None:
    """Return a delay in seconds; None for never."""
    return None if text == "never" else float(text[:-1]) * _UNITS_S[text[-1]]
