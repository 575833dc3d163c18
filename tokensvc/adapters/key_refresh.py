"""Key refresh: one set takes the place of another, and what that changed is told."""

from collections.abc import Callable
from dataclasses import dataclass

from tokensvc.adapters.key_copies import KeyCopy, KeyStoreError
from tokensvc.adapters.key_sets import KeyPolicyError, NamedKeys, keys_from_jwks
from tokensvc.adapters.key_source import KeySource
from tokensvc.adapters.key_store import KeyStore

KeyName = tuple[str | None, str]
"""A kid, if there is one, and an algorithm."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """How a set differs from the one before; replaced: another key under the same name."""

    added: tuple[KeyName, ...] = ()
    removed: tuple[KeyName, ...] = ()
    replaced: tuple[KeyName, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.replaced)

    @classmethod
    def between(cls, before: NamedKeys | None, after: NamedKeys) -> "KeyChange":
        """Return what makes *after* of *before*."""
        old, new = before.keys if before else {}, after.keys
        return cls(
            added=tuple(name for name in new if name not in old),
            removed=tuple(name for name in old if name not in new),
            replaced=tuple(name for name in new if name in old and old[name] != new[name]),
        )


def refresh(source: KeySource, store: KeyStore, *, now: Callable[[], float]) -> KeyChange:
    """Fetch *source* now and keep its set in *store*, where every process looks for it.

    Raises `KeyFetchError` or `KeyStoreError`; then the old set stays.
    """
    asked_at = now()
    fetched = source.fetch()
    before = kept_keys(source, store)
    store.save(KeyCopy(source.issuer, source.url, asked_at, fetched.max_age_s, fetched.jwks))
    return KeyChange.between(before, fetched.keys)


def kept_keys(source: KeySource, store: KeyStore) -> NamedKeys | None:
    """Return the keys of the copy that is kept, if there is one that can be used."""
    try:
        copy = store.load(source.issuer, source.url)
        return keys_from_jwks(copy.jwks, source.algorithms) if copy else None
    except (KeyStoreError, KeyPolicyError):
        return None
