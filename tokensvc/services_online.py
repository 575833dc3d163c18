"""Composition of the online check: every neighbour that the settings name, asked once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from tokensvc.adapters.cometchat import KEY_REFUSALS
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.adapters.key_source import KeyFetchError, KeySource
from tokensvc.adapters.redis_health import reason_of
from tokensvc.adapters.redis_limits import ask_by_a_hit
from tokensvc.adapters.schema import REVISION, SchemaError, demand_schema
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    StorageUnavailableError,
    UserQuotaReachedError,
)
from tokensvc.rotation import SecretsInForce
from tokensvc.services_directory import chat_directory
from tokensvc.services_keys import key_sources
from tokensvc.services_storage import Storage, storage_of
from tokensvc.settings import Settings

REST_KEYS: Final = ("api_key", "api_key_previous")


class NotUsableError(Exception):
    """A neighbour cannot be used now; the text is for the operator, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody whom the service depends on.

    *ask* returns what is well, in a few words, and raises `NotUsableError` if it is not.
    """

    name: str
    ask: Callable[[], str]


def neighbours(settings: Settings) -> Iterator[Neighbour]:
    """Yield everybody whom *settings* name; each key that CometChat should take is asked with."""
    for name in REST_KEYS:
        if getattr(settings.cometchat, name) is not None:
            yield Neighbour("CometChat", partial(_ask_cometchat, settings, name))
    for source in key_sources(settings):
        yield Neighbour(source.issuer, partial(_ask_issuer, source))
    redis_url = settings.limits.storage_url.get_secret_value()
    if not redis_url.startswith("memory:"):
        yield Neighbour("Redis", partial(_ask_redis, redis_url))
    yield Neighbour("The database", partial(_ask_database, storage_of(settings)))


def _ask_cometchat(settings: Settings, name: str) -> str:
    """Ask with the key of that name alone: two would stand in for each other."""
    alone = {"api_key": getattr(settings.cometchat, name), "api_key_previous": None}
    cometchat = settings.cometchat.model_copy(update=alone)
    secrets = SecretsInForce(
        settings.model_copy(update={"cometchat": cometchat}), mask=lambda _: None
    )
    clocks = Clocks(time.time, time.monotonic)
    client = chat_directory(settings, secrets, clocks, lambda _: None)
    try:
        CometChatUsers(client).demand_access()
    except DirectoryMisconfiguredError as error:
        if error.reason in KEY_REFUSALS:
            raise NotUsableError(f"refuses the key (cometchat.{name}): {error.reason}") from None
        raise NotUsableError(f"refuses what is configured: {error.reason}") from None
    except UserQuotaReachedError as error:
        raise NotUsableError(f"refuses the plan: {error.reason}") from None
    except DirectoryUnavailableError as error:
        raise NotUsableError(f"cannot be reached: {error.reason}") from None
    return f"takes the key (cometchat.{name})"


def _ask_issuer(source: KeySource) -> str:
    try:
        count = len(source.fetch().keys.keys)
    except KeyFetchError as error:
        if error.detail:
            raise NotUsableError(f"gives no keys: {error.reason} ({error.detail})") from None
        raise NotUsableError(f"cannot be reached: {error.reason}") from None
    return f"gives {count} key{'s' * (count != 1)}"


def _ask_redis(url: str) -> str:
    try:
        ask_by_a_hit(lambda: url)
    except Exception as error:  # noqa: BLE001 (as in the service, whatever it is)
        raise NotUsableError(f"cannot be reached: {reason_of(error)}") from None
    return "counts"


def _ask_database(storage: Storage) -> str:
    if not storage.is_kept:
        return "is made at the first start"
    try:
        demand_schema(storage.database)
    except SchemaError as error:
        raise NotUsableError(f"cannot be used (storage.url): {error}") from None
    except StorageUnavailableError as error:
        raise NotUsableError(f"cannot be reached: {error.reason}") from None
    finally:
        storage.database.close()
    return f"has schema {REVISION}"
