"""Reconciling: where the app's list and CometChat differ."""

from typing import Any

import pytest

from tests.builders import a_uid, a_user
from tokensvc.domain.model import Profile
from tokensvc.domain.ports import DirectoryUser
from tokensvc.domain.reconciling import Drift, Finding, Reconciliation, differences

FULL = Profile("Al", "https://x.test/a", "vip", ("a", "b"), {"level": 1})


def entry(uid: str, *, is_deactivated: bool = False, **profile: Any) -> DirectoryUser:
    return DirectoryUser(a_user(uid, **profile), is_deactivated=is_deactivated)


def test_every_kind_of_drift() -> None:
    """Missing, extra, different, deactivated; who is as they should be is not named."""
    reconciliation = Reconciliation()
    for uid in ("same", "gone", "other", "shut"):
        reconciliation.expect(a_user(uid))

    found = reconciliation.compare(
        [
            *(entry("same"), entry("other", name="X"), entry("extra")),
            *(entry("shut", is_deactivated=True), entry("both-gone", is_deactivated=True)),
        ]
    )

    assert [*found] == [
        Finding(Drift.DIFFERENT, a_uid("other"), ("name",)),
        Finding(Drift.EXTRA, a_uid("extra")),
        Finding(Drift.DEACTIVATED, a_uid("shut")),
        Finding(Drift.MISSING, a_uid("gone")),
    ]
    assert reconciliation.live_count == 3


def test_fields_of_which_the_list_says_nothing() -> None:
    """Nobody differs in them; in the others they do."""
    reconciliation = Reconciliation(unsaid={"avatar", "metadata"})
    reconciliation.expect(a_user("al", name="Al"))
    reconciliation.expect(a_user("bo", name="Bo"))

    pictured: dict[str, Any] = {"avatar": "https://x.test/a", "metadata": {"level": 1}}
    found = reconciliation.compare(
        [entry("al", name="Al", **pictured), entry("bo", name="X", **pictured)]
    )

    assert [*found] == [Finding(Drift.DIFFERENT, a_uid("bo"), ("name",))]


def test_who_is_deactivated_by_the_list() -> None:
    """They are as they should be while they are not live, whatever they look like."""
    reconciliation = Reconciliation()
    for uid in ("shut", "live", "gone"):
        reconciliation.expect_nobody(a_uid(uid))

    found = reconciliation.compare([entry("shut", is_deactivated=True), entry("live")])

    assert [*found] == [Finding(Drift.LIVE, a_uid("live"))]


def test_somebody_elses_users() -> None:
    """Whose uid no login of the issuers has cannot be on the list, and so is no extra."""
    reconciliation = Reconciliation(prefixes=("a_", "b_"))
    reconciliation.expect(a_user("other"))

    found = reconciliation.compare(
        [entry("a_1"), entry("b_1"), entry("bot"), entry("c_1"), entry("other", name="X")]
    )

    assert [(finding.drift, finding.uid) for finding in found] == [
        *((Drift.EXTRA, "a_1"), (Drift.EXTRA, "b_1"), (Drift.DIFFERENT, "other"))
    ]
    assert reconciliation.live_count == 2


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        (FULL, ()),
        (Profile("Al", FULL.avatar, "VIP", FULL.tags, {"level": 1}), ()),
        (Profile("Al", FULL.avatar, None, (), FULL.metadata), ()),
        (Profile(None, FULL.avatar, None, (), FULL.metadata), ()),
        (Profile("Al", None, "vip", FULL.tags, {}), ("avatar", "metadata")),
        (
            Profile("Bo", FULL.avatar, "x", ("b", "a"), {"level": "1"}),
            ("name", "role", "tags", "metadata"),
        ),
    ],
)
def test_differences(wanted: Profile, fields: tuple[str, ...]) -> None:
    """Only what an update would change: name, role and tags cannot be unset."""
    assert differences(FULL, wanted) == fields
