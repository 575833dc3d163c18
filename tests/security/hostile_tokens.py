"""The corpus: every row of the rules for session tokens, with the logins that break it."""

from itertools import chain
from typing import Final

from tests.security import (
    hostile_claims,
    hostile_embedded,
    hostile_headers,
    hostile_json,
    hostile_shapes,
    hostile_signatures,
)
from tests.security.hostile import Hostile

HOSTILE: Final[tuple[Hostile, ...]] = tuple(
    chain(
        hostile_shapes.carriage_cases(),
        hostile_shapes.size_cases(),
        hostile_shapes.shape_cases(),
        hostile_shapes.insertion_cases(),
        hostile_shapes.spelling_cases(),
        hostile_json.json_cases(),
        hostile_headers.alg_cases(),
        hostile_headers.none_cases(),
        hostile_headers.swap_cases(),
        hostile_headers.confusion_cases(),
        hostile_headers.parameter_cases(),
        hostile_headers.type_cases(),
        hostile_headers.kid_cases(),
        hostile_embedded.embedded_cases(),
        hostile_embedded.address_cases(),
        hostile_signatures.tampering_cases(),
        hostile_signatures.crossing_cases(),
        hostile_signatures.elliptic_cases(),
        hostile_signatures.rsa_cases(),
        hostile_signatures.edwards_cases(),
        hostile_signatures.secret_cases(),
        hostile_claims.time_cases(),
        hostile_claims.issuer_cases(),
        hostile_claims.audience_cases(),
        hostile_claims.subject_cases(),
        hostile_claims.uid_claim_cases(),
        hostile_claims.token_id_cases(),
        hostile_claims.expired_cases(),
    )
)
