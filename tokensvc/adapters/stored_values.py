"""Values as the tables hold them: every text that can be told comes back as it was."""

import json
from collections.abc import Mapping
from typing import Any

from tokensvc.domain.claimed import Claimed
from tokensvc.domain.model import Profile


def stored_id(event_id: str) -> str:
    """Return *event_id* in ASCII: PostgreSQL takes no NUL, and neither takes half a surrogate."""
    return event_id.encode("unicode_escape").decode("ascii")


def event_id_of(stored: str) -> str:
    """Return the id that `stored_id` was given."""
    return stored.encode("ascii").decode("unicode_escape")


def stored_profile(profile: Profile | None) -> str | None:
    """Return *profile* as JSON, in ASCII for the same reason."""
    if profile is None:
        return None
    told = {
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role,
        "tags": list(profile.tags),
        "metadata": dict(profile.metadata),
    }
    return json.dumps({name: value for name, value in told.items() if value is not None})


def profile_of(stored: str | None) -> Profile | None:
    """Return the profile that `stored_profile` was given."""
    if stored is None:
        return None
    told: Mapping[str, Any] = json.loads(stored)
    return Profile(**{**told, "tags": tuple(told.get("tags", ()))})


def stored_claims(claims: Claimed) -> str | None:
    """Return *claims* as JSON, or None where there are none."""
    return json.dumps(claims) if claims else None


def claims_of(stored: str | None) -> Claimed:
    """Return the claims that `stored_claims` was given."""
    told: Mapping[str, Any] = json.loads(stored) if stored else {}
    return {name: (version, value) for name, (version, value) in told.items()}
