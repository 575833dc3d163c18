"""Faults: what is wrong with the settings, in sentences that name what to set."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_core import ErrorDetails

from tokensvc.adapters.key_urls import is_loopback
from tokensvc.domain.secrecy import DEVELOPMENT_MARK, looks_guessable, looks_like_placeholder
from tokensvc.settings import prefix_faults

PREFIX: Final = "TOKENSVC_"
PUBLISHED: Final = "is published with this project: for development alone"
_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
    "list_type": "must be a list (in the environment: a JSON array)",
    "model_type": "must be a table (in the environment: a JSON object)",
    "model_attributes_type": "must be a table (in the environment: a JSON object)",
    "string_type": "must be a text",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have {min_length} or more members",
    "too_long": "must have at most {max_length} members",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "less_than_equal": "must be at most {le:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "literal_error": "must be {expected}",
    "path_type": "must be the path of a file",
    "ip_any_network": "must be a network like 10.0.0.0/8, with no bits set behind its prefix",
}
"""What pydantic finds, in our words; what is missing here is said in its own."""


def variable_name(path: Iterable[object]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in path)


def setting_name(path: list[Any]) -> str:
    """Return how a person finds a setting: its dotted name, and its variable if it has one."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    named = list(itertools.takewhile(lambda part: isinstance(part, str), path))
    variable = variable_name(named)
    return f"{dotted.removeprefix('.')} ({variable})"


def sentence(details: ErrorDetails) -> str:
    """Return what pydantic found, in our words; the value itself is never quoted."""
    words = _WORDS.get(details["type"])
    if words is None:
        text = details["msg"].removeprefix("Value error, ")
        words = text if text[1:2].isupper() else text[:1].lower() + text[1:]
    else:
        words = words.format_map(details.get("ctx", {}))
    return f"{setting_name(list(details['loc']))}: {words}"


def secret_tables(
    raw: Mapping[str, Any],
) -> Iterator[tuple[MutableMapping[str, Any], list[object], str]]:
    """Yield each table that may hold a secret, where it stands, and the secret's name."""
    for section, secret in (
        ("cometchat", "api_key"),
        ("cometchat", "api_key_previous"),
        ("limits", "storage_url"),
        ("audit", "log_key"),
        ("storage", "url"),
    ):
        if isinstance(raw.get(section), MutableMapping):
            yield raw[section], [section], secret
    sessions = raw.get("sessions")
    for index, session in enumerate(sessions if isinstance(sessions, list) else []):
        if isinstance(session, MutableMapping):
            yield session, ["sessions", index], "secret"
            yield session, ["sessions", index], "secret_previous"


def faults_across(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong between settings, as far as *raw* can be read."""
    development = is_development(raw)
    yield from _weak_secrets(raw, development=development)
    sessions = [table for table, _, name in secret_tables(raw) if name == "secret"]
    prefixes = [str(session.get("uid_prefix", "")) for session in sessions]
    yield from (f"sessions: {fault}" for fault in prefix_faults(prefixes))
    issuers = [session["issuer"] for session in sessions if "issuer" in session]
    if any(issuers.count(issuer) > 1 for issuer in issuers):
        yield "sessions: two tables have the same issuer"
    # Each issuer's own two may be equal, as they are in the middle of a rotation.
    secrets = [secret for session in sessions for secret in _secrets_of(session)]
    if len(set(secrets)) < len(secrets):
        yield "sessions: two issuers have the same secret: each could sign for the other"
    yield from _server_faults(raw, development=development)


def _secrets_of(session: Mapping[str, Any]) -> set[object]:
    texts = (text_of(session.get(name)) for name in ("secret", "secret_previous"))
    return {text for text in texts if isinstance(text, str) and text}


def is_development(raw: Mapping[str, Any]) -> bool:
    """Return whether *raw* says so, in one of the ways in which a truth can be spelled."""
    return str(raw.get("development", False)).lower() in {"true", "t", "1", "yes", "y", "on"}


def text_of(secret: object) -> object:
    """Return what a secret holds, read from a file or not yet."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


def _weak_secrets(raw: Mapping[str, Any], *, development: bool) -> Iterator[str]:
    for table, place, name in secret_tables(raw):
        text = text_of(table.get(name))
        if not isinstance(text, str) or name in {"storage_url", "url"}:
            continue
        # The emulator's published key opens nothing but the emulator.
        is_rest_key = name.startswith("api_key")
        emulated = is_rest_key and _is_on_loopback(table.get("base_url"))
        if text.startswith(DEVELOPMENT_MARK):
            weakness = None if development or emulated else PUBLISHED
        else:
            weakness = weakness_of(text, phrase_is_weak=not is_rest_key)
        if weakness:
            yield f"{setting_name([*place, name])}: {weakness}"


def _is_on_loopback(url: object) -> bool:
    try:
        return isinstance(url, str) and is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def weakness_of(secret: str, *, phrase_is_weak: bool) -> str | None:
    if not secret.isprintable():
        return "holds what cannot be printed: is it the right file, and UTF-8?"
    if looks_like_placeholder(secret):
        return "is a placeholder"
    if phrase_is_weak and looks_guessable(secret):
        return "can be guessed; make one with: openssl rand -base64 48"
    return None


def _server_faults(raw: Mapping[str, Any], *, development: bool) -> Iterator[str]:
    server = raw.get("server") if isinstance(raw.get("server"), Mapping) else {}
    cometchat = raw.get("cometchat") if isinstance(raw.get("cometchat"), Mapping) else {}
    host = server.get("host", "127.0.0.1") if server else "127.0.0.1"
    if development and not is_loopback(str(host)):
        yield f"{setting_name(['server', 'host'])}: must be loopback while development is true"
    try:
        threads = int((server or {}).get("threads", 256))
        in_flight = int((cometchat or {}).get("max_in_flight", 160))
        waiting = int((cometchat or {}).get("max_waiting") or 0)
    except (TypeError, ValueError, OverflowError):
        return
    if in_flight + waiting >= threads:
        yield (
            f"{setting_name(['cometchat', 'max_in_flight'])}: must be less than server.threads, "
            "together with max_waiting, so that health probes find a thread"
        )
