"""The fuzzer's mutants: bytes in, an Authorization header and what was honestly signed out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from tests.builders import AUDIENCE, NOW
from tests.security.forging import ALGORITHMS, Signer, b64, pem, thief_for
from tests.security.fuzz_edits import (
    MEMBER_EDITS,
    SIGNATURE_EDITS,
    TEXT_EDITS,
    Choices,
    Members,
    with_noise,
)
from tests.security.fuzz_vocabulary import CARRIAGES, JSON_NOISE, SIGNERS
from tokensvc.adapters.key_sets import SECRET_ALGORITHMS

FEW: Final = (0, 0, 0, 1, 1, 2)
SELDOM: Final = (0, 0, 0, 0, 1, 2)
RARELY: Final = (0, 0, 0, 0, 0, 1)
BY_ISSUER: Final[Mapping[str, Signer]] = {signer.issuer: signer for signer in SIGNERS}


@dataclass(slots=True)
class Mutant:
    """One login, and everything that an honest issuer signed for it, by its signing input."""

    authorization: str = ""
    signed: dict[str, tuple[Signer, bytes]] = field(default_factory=dict)

    def sign(self, signer: Signer, signing_input: str) -> bytes:
        """Have the honest *signer* sign, and remember it."""
        signature = _signature(signer.issuer, signing_input)
        self.signed[signing_input] = signer, signature
        return signature


@dataclass(frozen=True, slots=True)
class Draft:
    """What is about to be signed: by whom, as what, and what it was before any edit."""

    signer: Signer
    alg: str
    signing_input: str
    untouched: str


def mutant(data: bytes) -> Mutant:
    """Return the mutant that *data* spells; no bytes at all spell a good token."""
    choices, made = Choices(data), Mutant()
    signer = choices.one_of(SIGNERS)
    header, payload = _header(signer), _payload(signer)
    untouched = _signing_input(_rendered(header), _rendered(payload))
    for members in (header, payload):
        for _ in range(choices.one_of(FEW)):
            choices.one_of(MEMBER_EDITS)(choices, members)
    parts = [_rendered(header), _rendered(payload)]
    if choices.one_of(RARELY):
        at = choices.below(2)
        parts[at] = with_noise(choices, parts[at], choices.one_of(JSON_NOISE))
    alg = dict(header).get(b"alg", b"").strip(b'"').decode("latin-1")
    draft = Draft(signer, alg, _signing_input(*parts), untouched)
    signature = choices.one_of(SIGNINGS)(made, choices, draft)
    if choices.one_of(RARELY):
        signature = choices.one_of(SIGNATURE_EDITS)(choices, signature)
    text = f"{draft.signing_input}.{b64(signature)}"
    for _ in range(choices.one_of(SELDOM)):
        text = choices.one_of(TEXT_EDITS)(choices, text)
    carriage = choices.one_of(CARRIAGES) if choices.one_of(RARELY) else "Bearer {0}"
    # A WSGI server hands over each byte of a header as one character.
    made.authorization = carriage.replace("{0}", text).encode().decode("latin-1")
    return made


def _header(signer: Signer) -> Members:
    kid = [(b"kid", f'"{signer.kid}"'.encode())] if signer.kid else []
    return [(b"alg", f'"{signer.alg}"'.encode()), (b"typ", b'"JWT"'), *kid]


def _payload(signer: Signer) -> Members:
    return [
        (b"iss", f'"{signer.issuer}"'.encode()),
        (b"aud", f'"{AUDIENCE}"'.encode()),
        (b"sub", b'"alice"'),
        (b"iat", str(int(NOW)).encode()),
        (b"exp", str(int(NOW) + 600).encode()),
    ]


def _rendered(members: Members) -> bytes:
    return b"{%s}" % b",".join(b'"%s":%s' % member for member in members)


def _signing_input(header: bytes, payload: bytes) -> str:
    return f"{b64(header)}.{b64(payload)}"


@lru_cache(maxsize=256)
def _signature(issuer: str, signing_input: str) -> bytes:
    return BY_ISSUER[issuer].sign(signing_input.encode())


def _honestly(made: Mutant, _: Choices, draft: Draft) -> bytes:
    return made.sign(draft.signer, draft.signing_input)


def _before_the_edits(made: Mutant, _: Choices, draft: Draft) -> bytes:
    """Take the signature of the untouched token, as a thief has it who saw that one."""
    return made.sign(draft.signer, draft.untouched)


def _by_a_thief(_: Mutant, __: Choices, draft: Draft) -> bytes:
    return thief_for(draft.signer.alg).sign(draft.signing_input.encode())


def _by_another(made: Mutant, choices: Choices, draft: Draft) -> bytes:
    """Have another honest issuer sign: whatever the token claims, it is that one's word."""
    return made.sign(choices.one_of(SIGNERS), draft.signing_input)


def _with_the_public_key(_: Mutant, __: Choices, draft: Draft) -> bytes:
    """Use what everybody has as the secret of an HMAC."""
    key = draft.signer.key
    secret = draft.signer.alg.encode() if isinstance(key, bytes) else pem(draft.signer.public_key)
    hmac = draft.alg if draft.alg in SECRET_ALGORITHMS else "HS256"
    return ALGORITHMS[hmac].sign(draft.signing_input.encode(), secret)


def _not_at_all(_: Mutant, __: Choices, ___: Draft) -> bytes:
    return b""


SIGNINGS: Final[Sequence[Callable[[Mutant, Choices, Draft], bytes]]] = (
    *(_honestly, _honestly, _honestly, _honestly, _before_the_edits, _before_the_edits),
    *(_by_a_thief, _by_another, _with_the_public_key, _not_at_all),
)
