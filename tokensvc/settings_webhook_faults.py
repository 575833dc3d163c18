"""Faults of webhooks: what is wrong with their secrets, and between them and the issuers."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tokensvc.adapters.senders.registry import SENDERS
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.settings_checks import read_text
from tokensvc.settings_faults import PUBLISHED, is_development, setting_name, text_of, weakness_of
from tokensvc.settings_webhooks import PUBLIC_KEY_MARK


def fill_webhook_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    """Read the secrets that are given as files, one in each line; yield what goes wrong."""
    for table, place in _tables(raw, "webhooks"):
        path = table.get("secrets_file")
        if path is None:
            continue
        name = setting_name([*place, "secrets_file"])
        if table.get("secrets"):
            yield f"{setting_name([*place, 'secrets'])}: set it or secrets_file, not both"
            continue
        try:
            table["secrets"] = [SecretStr(line) for line in secret_lines(Path(str(path)))]
        except ValueError as fault:
            yield f"{name}: {fault}"


def secret_lines(path: Path) -> list[str]:
    """Return the secrets in a file, one in each line; raises ValueError with the fault."""
    lines = read_text(path).split("\n")
    secrets = [line.strip("\r") for line in lines if line.strip("\r")]
    if not secrets:
        raise ValueError("is empty")
    return secrets


def webhook_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong between webhooks and the rest, as far as *raw* can be read."""
    tables = list(_tables(raw, "webhooks"))
    yield from _weak_secrets(raw)
    sources = [table.get("source") for table, _ in tables if "source" in table]
    if any(sources.count(source) > 1 for source in sources):
        yield "webhooks: two tables have the same source"
    issuers = [table.get("issuer") for table, _ in _tables(raw, "sessions")]
    for table, place in tables:
        if isinstance(table.get("issuer"), str) and table["issuer"] not in issuers:
            yield (
                f"{setting_name([*place, 'issuer'])}: must be the issuer of one of [[sessions]], "
                "letter for letter: its uid rules are the source's too"
            )
    secrets = [text for table, _ in tables for _, text in _secrets(table)]
    secrets += [str(text_of(table["secret"])) for table, _ in _tables(raw, "sessions", "secret")]
    if any(secrets.count(secret) > 1 for secret in {text for text in secrets if text}):
        yield "webhooks: a secret is set twice: each source and issuer needs one of its own"


def _weak_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    for table, place in _tables(raw, "webhooks"):
        options = table.get("options")
        is_basic = isinstance(options, Mapping) and options.get("scheme") == "basic"
        for index, text in _secrets(table):
            bare = text.partition(":")[2] if is_basic else text.removeprefix("whsec_")
            if text.startswith(PUBLIC_KEY_MARK):
                continue
            if bare.startswith(DEVELOPMENT_MARK):
                weakness = None if is_development(raw) else PUBLISHED
            else:
                weakness = weakness_of(bare, phrase_is_weak=True)
            if weakness:
                yield f"{setting_name([*place, 'secrets', index])}: {weakness}"


def _secrets(table: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield each secret of a source, without what Supabase writes around it."""
    secrets = table.get("secrets")
    kind = SENDERS.get(str(table.get("sender")), SENDERS["standard"])
    for index, secret in enumerate(secrets if isinstance(secrets, list) else []):
        text = text_of(secret)
        if isinstance(text, str):
            yield from ((index, part) for part in kind.split_secrets(text))


def _tables(
    raw: Mapping[str, Any], name: str, *demanded: str
) -> Iterator[tuple[MutableMapping[str, Any], list[object]]]:
    """Yield the tables of that name that have what is *demanded*, and where they stand."""
    tables = raw.get(name)
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        if isinstance(table, MutableMapping) and all(table.get(member) for member in demanded):
            yield table, [name, index]
