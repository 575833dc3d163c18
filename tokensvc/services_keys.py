"""Composition of the key sets: where each issuer's keys come from, and where they are kept."""

import time
from collections.abc import Callable, Iterator

from tokensvc.adapters.http_client import Bounds
from tokensvc.adapters.key_source import KeySource, Reach
from tokensvc.adapters.key_store import KeyStore
from tokensvc.adapters.remote_keys import RemoteKeys
from tokensvc.domain.audit import Notify
from tokensvc.domain.clocks import Clocks
from tokensvc.settings import Settings


def remote_keys(settings: Settings, *, notify: Notify, clock: Clocks) -> dict[str, RemoteKeys]:
    """Return the key sets that must be fetched, by issuer; nothing is fetched yet."""
    store = key_store(settings, now=clock.now)
    return {
        source.issuer: RemoteKeys(
            source, store, max_stale_s=settings.keys.max_stale_s, notify=notify, clock=clock
        )
        for source in key_sources(settings)
    }


def key_sources(settings: Settings) -> Iterator[KeySource]:
    """Yield where keys must be fetched from."""
    keys = settings.keys
    bounds = Bounds(keys.connect_timeout_s, keys.total_timeout_s, keys.total_timeout_s)
    for table in settings.sessions:
        if table.key_url is not None:
            yield KeySource(
                issuer=table.issuer,
                url=table.key_url,
                algorithms=frozenset(table.algorithms),
                is_discovery=table.discovery,
                reach=Reach(bounds, keys.ca_file, keys.max_age_s),
            )


def key_store(settings: Settings, *, now: Callable[[], float] = time.time) -> KeyStore:
    """Return where the last good key sets are kept."""
    return KeyStore(settings.keys.directory, now=now)
