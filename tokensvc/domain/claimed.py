"""Claimed: what logins say of single fields, laid over the whole profile that others have told.

A session token says less than a webhook, and what it leaves out is nobody's word. So each
field keeps its newest claim of its own, for as long as no newer whole profile is known.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tokensvc.domain.model import Profile

Claimed = Mapping[str, tuple[int, object]]
"""By the field's name (`metadata.` and the member's): the version of the claim, and the claim."""

NOTHING: Final[Claimed] = {}
_METADATA: Final = "metadata."


def said(profile: Profile, version: int) -> Claimed:
    """Return what a login says; what is absent is left out."""
    fields: dict[str, object] = {
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role,
        "tags": list(profile.tags),
    }
    there = {name: value for name, value in fields.items() if value}
    members = {f"{_METADATA}{name}": value for name, value in profile.metadata.items()}
    return {name: (version, value) for name, value in {**there, **members}.items()}


def newest(one: Claimed, other: Claimed) -> Claimed:
    """Return of each field the newest claim; of two at once the one that sorts last."""
    both = {**one, **other}
    return {name: max(_all(name, one, other), key=_age) for name in both}


def since(version: int, claims: Claimed) -> Claimed:
    """Return the claims that are newer than *version*."""
    return {name: claim for name, claim in claims.items() if claim[0] > version}


def laid_over(whole: Profile, claims: Claimed) -> Profile:
    """Return *whole* with what is claimed in the place of what it says."""
    if not claims:
        return whole
    fields: dict[str, Any] = {name: value for name, (_, value) in claims.items()}
    members = {
        name.removeprefix(_METADATA): fields.pop(name)
        for name in [*fields]
        if name.startswith(_METADATA)
    }
    if "tags" in fields:
        fields["tags"] = tuple(fields["tags"])
    return replace(whole, **fields, metadata={**whole.metadata, **members})


def _all(name: str, *claims: Claimed) -> list[tuple[int, object]]:
    return [each[name] for each in claims if name in each]


def _age(claim: tuple[int, object]) -> tuple[int, str]:
    version, value = claim
    return version, json.dumps(value, sort_keys=True)
