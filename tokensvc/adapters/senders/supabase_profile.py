"""How Supabase tells what a user looks like: in columns, or in what providers said of them."""

from collections.abc import Mapping
from typing import Final

from tokensvc.adapters.senders.message import named
from tokensvc.domain.profiles import Claims

_OF_PROVIDERS: Final = ("user_metadata", "raw_user_meta_data")
_AVATARS: Final = ("avatar_url", "picture")
_NICKNAMES: Final = ("username", "user_name")


def with_profile(user: Claims) -> Claims:
    """Return *user* with a `name` and an `avatar_url`, wherever they stand."""
    places = [user, *(user.get(place) for place in _OF_PROVIDERS)]
    told = [place for place in places if isinstance(place, Mapping)]
    names = (named(place, "full_name", otherwise=_NICKNAMES)["name"] for place in told)
    avatars = (place.get(avatar) for place in told for avatar in _AVATARS)
    return {
        **user,
        "name": next(filter(None, names), None),
        "avatar_url": next(filter(None, avatars), None),
    }
