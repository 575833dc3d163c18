"""Fuzzing in small: thousands of mutants through header parser and verifier, always the same."""

import random
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security import planted_verifiers
from tests.security.fuzz_mutants import BY_ISSUER, mutant
from tests.security.fuzzing import FindingError, Target, issuers, verifier

MUTANTS: Final = 20_000
TOGETHER: Final = 10
"""Mutants in one example: hypothesis takes longer to invent bytes than they take to try."""
SPELLING: Final = 64
"""Bytes that spell a mutant; the longest need a few more, and read them as zeros."""
ENOUGH: Final = 20_000
"""Within so many mutants each planted fault is found."""


def test_mutants() -> None:
    """Nothing is accepted that was not signed, nothing foreign is raised, nothing is slow."""
    target = Target(verifier(issuers()).verify)

    @settings(
        max_examples=MUTANTS // TOGETHER,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=SPELLING * TOGETHER, max_size=SPELLING * TOGETHER))
    def try_some(data: bytes) -> None:
        for start in range(0, len(data), SPELLING):
            target.try_one(data[start : start + SPELLING])

    try_some()

    assert target.figures.mutants >= MUTANTS
    assert target.figures.accepted > MUTANTS / 100
    assert {reason.partition(": ")[2] for reason in target.figures.refusals} >= REASONS


REASONS: Final = frozenset(
    {"alg_malformed", "alg_not_allowed", "aud_malformed", "aud_not_ours", "exp_missing"}
    | {f"{name}_malformed" for name in ("exp", "iat", "sub", "token", "header", "payload")}
    | {f"{name}_malformed" for name in ("typ", "kid")}
    | {"header_not_understood", "key_unknown", "signature_invalid", "token_too_long"}
    | {"iss_unknown", "typ_not_allowed", "iat_in_future", "exp_past"}
)
"""What the mutants are refused for, at least: a fuzzer that never gets far finds nothing."""


def test_no_bytes_are_a_good_token() -> None:
    """The mutants begin where tokens are good: without an edit they are accepted."""
    target = Target(verifier(issuers()).verify)

    for index in range(len(BY_ISSUER)):
        target.try_one(bytes([index]))

    assert target.figures.accepted == len(BY_ISSUER)


def test_same_bytes_same_mutant() -> None:
    """What was found once can be found again."""
    data = random.Random(1).randbytes(60)

    assert mutant(data) == mutant(data)


@pytest.mark.parametrize(
    ("planted", "finding"),
    [
        (planted_verifiers.any_signature, "never signed"),
        (planted_verifiers.alg_none, "never signed|another alg"),
        (planted_verifiers.public_key_as_secret, "never signed"),
        (planted_verifiers.one_key_for_two_issuers, "another iss"),
        (planted_verifiers.no_expiry, "expired|early"),
        (planted_verifiers.any_audience, "another aud"),
        (planted_verifiers.pyjwt_alone, "json without|another|no "),
        (planted_verifiers.forgiving_base64, "never signed|another signature"),
        (planted_verifiers.forgiving_header, "never signed"),
        (planted_verifiers.crash, "UnicodeEncodeError"),
        (planted_verifiers.dear, "s of CPU"),
    ],
)
def test_planted_fault_is_found(planted: Callable[[], Target], finding: str) -> None:
    """And with a check left out, the same mutants find it."""
    target = planted()

    with pytest.raises(FindingError, match=finding):
        try_many(target, ENOUGH)


def try_many(target: Target, mutants: int) -> None:
    """Try the first *mutants* of one fixed sequence."""
    seeded = random.Random(7)
    for _ in range(mutants):
        target.try_one(seeded.randbytes(SPELLING))
