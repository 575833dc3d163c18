"""Several issuers at one door: each proves its own users, and nobody else's."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders import SECRET
from tests.raw_server import an_answer
from tests.remote_issuers import (
    Clock,
    Provider,
    RemoteService,
    a_provider,
    a_remote_service,
    a_remote_table,
    a_set,
    published,
)
from tests.security.forging import ALGORITHMS, KID, Signer, der, header_of, jwk, pem, token

A: Final = Signer("https://a.example.test", "RS256", rsa.generate_private_key(65537, 2048), kid=KID)
B: Final = Signer("https://b.example.test", "RS256", rsa.generate_private_key(65537, 2048), kid=KID)
C: Final = Signer("http://localhost:0", "ES256", ec.generate_private_key(ec.SECP256R1()), kid=KID)
"""Its keys are discovered, and so its name is the address of its server."""
D: Final = Signer("https://d.example.test", "EdDSA", ed25519.Ed25519PrivateKey.generate(), kid=KID)
H: Final = Signer("https://h.example.test", "HS256", SECRET.encode())
P: Final = Signer("https://p.example.test", "RS256", rsa.generate_private_key(65537, 2048))
NAMES: Final = "abcdhp"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Everything by which a refusal could be told from another."""

    status: int
    code: str
    reason: str | None


def refused(reason: str) -> Refusal:
    return Refusal(401, "session_invalid", reason)


class World:
    """Six issuers that use one kid, each with an audience and a prefix of its own."""

    def __init__(self, folder: Path, providers: Mapping[str, Provider]) -> None:
        here = f"http://localhost:{providers['c'].port}"
        self.signers = {"a": A, "b": B, "c": replace(C, issuer=here), "d": D, "h": H, "p": P}
        self.providers = providers
        self.folder = folder
        self.clock = Clock()
        (folder / "p.pem").write_bytes(pem(P.public_key))
        document = {"issuer": here, "jwks_uri": providers["c-keys"].jwks_url}
        providers["c"].answer = an_answer(json.dumps(document).encode())
        self.service = self.restarted()

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the tables of all six."""
        sources: dict[str, dict[str, Any]] = {
            "a": {"jwks_url": self.providers["a"].jwks_url},
            "b": {"jwks_url": self.providers["b"].jwks_url},
            "c": {"discovery": True},
            "d": {"jwks_url": self.providers["d"].jwks_url},
            "h": {"secret": SECRET},
            "p": {"public_key_file": self.folder / "p.pem"},
        }
        return {
            name: a_remote_table(
                self.signers[name], audience=f"chat-{name}", uid_prefix=f"{name}_", **source
            )
            for name, source in sources.items()
        }

    def restarted(self, *absent: str, **changes: Mapping[str, Any]) -> RemoteService:
        """Return the service as it comes up without *absent*, the others changed as given."""
        tables = [
            {**table, **changes.get(name, {})}
            for name, table in self.tables().items()
            if name not in absent
        ]
        service = a_remote_service(self.folder, self.clock, *tables)
        service.fetch()
        return service

    def signed(self, name: str, **changes: Any) -> str:
        """Return a good token of one issuer, but for *changes*: header, payload, sign."""
        payload = {"aud": f"chat-{name}", **changes.pop("payload", {})}
        return token(self.signers[name], payload=payload, **changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the world that all cases share: none of them changes it."""
    answers = {"a": published(A), "b": published(B), "c": b"", "d": published(D)}
    answers["c-keys"] = published(C)
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(a_provider(answer)) for name, answer in answers.items()
        }
        yield World(tmp_path_factory.mktemp("issuers"), running)


def outcome(service: RemoteService, text: str) -> Refusal:
    """Log in, and return how that ended."""
    answer = service.login(text)
    record = service.records()[-1]
    return Refusal(answer.status_code, answer.get_json().get("code", "ok"), record.get("reason"))


def accepted_uid(service: RemoteService, text: str) -> str:
    """Log in, and return the uid that was issued a token."""
    answer = service.login(text)
    assert answer.status_code == 201, service.records()[-1]
    uid: str = answer.get_json()["uid"]
    return uid


PAIRS: Final = [(signer, victim) for signer in NAMES for victim in NAMES if signer != victim]


@pytest.mark.parametrize("name", NAMES)
def test_each_proves_its_own(world: World, name: str) -> None:
    """A good token of each issuer names its own user."""
    assert accepted_uid(world.service, world.signed(name)) == f"{name}_alice"


@pytest.mark.parametrize(("signer", "victim"), PAIRS, ids="".join)
def test_key_of_one_with_iss_of_another(world: World, signer: str, victim: str) -> None:
    """Signed with a key that is trusted, but not for this issuer: refused, whatever the kid."""
    forger = world.signers[signer]
    text = world.signed(victim, header=header_of(forger), sign=forger.sign)
    same = forger.alg == world.signers[victim].alg

    assert outcome(world.service, text) == refused(
        "signature_invalid" if same else "alg_not_allowed"
    )


@pytest.mark.parametrize(("signer", "victim"), PAIRS, ids="".join)
def test_key_of_one_under_the_header_of_another(world: World, signer: str, victim: str) -> None:
    """Nor does it help to say that it was signed as the other issuer signs."""
    forger = world.signers[signer]
    text = world.signed(victim, sign=forger.sign)

    assert outcome(world.service, text) == refused("signature_invalid")


@pytest.mark.parametrize(("name", "other"), PAIRS, ids="".join)
def test_audiences_swapped(world: World, name: str, other: str) -> None:
    """A token for another issuer's audience is not for us, though that audience is ours too."""
    text = world.signed(name, payload={"aud": f"chat-{other}"})

    assert outcome(world.service, text) == refused("aud_not_ours")


@pytest.mark.parametrize(("name", "other"), PAIRS, ids="".join)
def test_only_iss_swapped(world: World, name: str, other: str) -> None:
    """A token that one issuer really signs cannot say that it comes from another one."""
    text = world.signed(name, payload={"iss": world.signers[other].issuer})

    assert outcome(world.service, text).status == 401
    assert "uid" not in world.service.records()[-1]


@pytest.mark.parametrize("name", NAMES)
def test_equal_subjects_are_different_users(world: World, name: str) -> None:
    """Six people with one sub are six users, and no sub reaches into another prefix."""
    uids = {accepted_uid(world.service, world.signed(other)) for other in NAMES}
    reaching = [
        accepted_uid(world.service, world.signed(name, payload={"sub": f"{other}_alice"}))
        for other in NAMES
    ]

    assert uids == {f"{other}_alice" for other in NAMES}
    assert uids.isdisjoint(reaching)


# Public keys as secrets: the oldest confusion of all.


def _raw(public_key: Any) -> bytes:
    raw: bytes = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return raw


PUBLIC_TEXTS: Final[dict[str, Callable[[], bytes]]] = {
    "pem": lambda: pem(A.public_key),
    "pem-without-newline": lambda: pem(A.public_key).rstrip(b"\n"),
    "pem-crlf": lambda: pem(A.public_key).replace(b"\n", b"\r\n"),
    "der": lambda: der(A.public_key),
    "pkcs1": lambda: A.public_key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "jwk": lambda: json.dumps(jwk(A)).encode(),
    "jwks": lambda: a_set(A),
    "modulus": lambda: A.public_key.public_numbers().n.to_bytes(256, "big"),
    "raw-ed25519": lambda: _raw(D.public_key),
    "kid": KID.encode,
    "empty": lambda: b"",
}


@pytest.mark.parametrize("text", PUBLIC_TEXTS.values(), ids=PUBLIC_TEXTS.keys())
@pytest.mark.parametrize("victim", ["a", "d", "h", "p"])
def test_public_key_as_secret(world: World, victim: str, text: Callable[[], bytes]) -> None:
    """With an HS issuer beside the others, what is published is still nobody's secret."""
    forger = Signer("", "HS256", text())
    forged = world.signed(
        victim, header={"alg": "HS256"}, sign=lambda signed: _hmac(forger, signed)
    )
    reason = "signature_invalid" if victim == "h" else "alg_not_allowed"

    assert outcome(world.service, forged) == refused(reason)


def _hmac(signer: Signer, signed: bytes) -> bytes:
    # The library refuses such keys when it is asked to prepare them; forgers are not so kind.
    made: bytes = jwt.algorithms.HMACAlgorithm(hashlib.sha256).sign(signed, signer.key)
    return made


def test_shared_secret_still_signs(world: World) -> None:
    """And the secret itself, signed the same way, is good."""
    text = world.signed("h", sign=lambda signed: _hmac(H, signed))

    assert accepted_uid(world.service, text) == "h_alice"


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_algorithms_swapped(world: World, alg: str) -> None:
    """A key signs with the algorithm that is configured, though it could with others."""
    signer = replace(A, alg=alg)
    text = world.signed("a", header={"alg": alg}, sign=signer.sign)

    assert outcome(world.service, text) == refused("alg_not_allowed")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("name", NAMES)
def test_none(world: World, name: str, alg: str) -> None:
    """Without a signature nobody proves anything, at whatever issuer."""
    text = world.signed(name, header={"alg": alg}, sign=lambda _: b"x")

    assert outcome(world.service, text) == refused("alg_not_allowed")


SPELLINGS: Final[dict[str, Callable[[str], object]]] = {
    "slash": lambda name: f"{name}/",
    "upper-case": str.upper,
    "blank": lambda name: f" {name}",
    "newline": lambda name: f"{name}\n",
    "null": lambda name: f"{name}\0",
    "port": lambda name: f"{name}:443",
    "fragment": lambda name: f"{name}#",
    "list": lambda name: [name],
    "object": lambda name: {name: name},
    "two": lambda name: f"{name} https://b.example.test",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_issuer_is_spelled_one_way(world: World, spelling: Callable[[str], object]) -> None:
    """An issuer is the very text that is configured, and nothing that resembles it."""
    text = world.signed("a", payload={"iss": spelling(A.issuer)})

    assert outcome(world.service, text) == refused("iss_unknown")


def test_unverified_issuer_is_never_asked(world: World) -> None:
    """Nobody is fetched from because a token says so: not its iss, not its jku or x5u."""
    with a_provider(published(A)) as stranger:
        url = f"http://localhost:{stranger.port}"
        addresses = {"jku": stranger.jwks_url, "x5u": stranger.jwks_url}
        first = outcome(world.service, world.signed("a", payload={"iss": url}))
        second = outcome(world.service, world.signed("a", header={"kid": "x", **addresses}))
        world.service.fetch()

        assert (first, second) == (refused("iss_unknown"), refused("key_unknown"))
        assert stranger.server.connections == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a", {"header": {"alg": "HS256", "kid": "new"}}),
        ("a", {"header": {"alg": "none", "kid": "new"}}),
        ("a", {"header": {"kid": "new"}, "payload": {"iss": "https://evil.test"}}),
        ("a", {"header": {"kid": "new", "typ": "x"}}),
        ("a", {"header": {"kid": "new", "crit": ["x"]}}),
        ("a", {"header": {"kid": "new" * 100}}),
    ],
    ids=["alg", "none", "issuer", "typ", "crit", "long kid"],
)
def test_only_a_token_that_could_be_good_causes_a_fetch(
    world: World, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    """What would be refused in any case makes nobody look for keys; the same without it does."""
    clock = Clock()
    with a_provider(published(A)) as provider:
        table = a_remote_table(A, jwks_url=provider.jwks_url, audience="chat-a")
        service = a_remote_service(tmp_path, clock, table)
        service.fetch()
        clock.advance(31)
        bad = outcome(service, world.signed(name, **changes))
        service.fetch()
        fetches = provider.fetches
        could_be = outcome(service, world.signed(name, header={"kid": "new"}))
        service.fetch()

        assert (bad.status, fetches) == (401, 1)
        assert (could_be.status, provider.fetches) == (503, 2)


def test_missing_keys_are_no_failed_attempt(world: World, tmp_path: Path) -> None:
    """Whoever comes while keys are fetched is not counted as somebody who guesses."""
    clock = Clock()
    with a_provider(an_answer(b"", status="503 Busy")) as provider:
        table = a_remote_table(A, jwks_url=provider.jwks_url, audience="chat-a")
        limits = {"per_user": "1000 per minute", "failed_per_address": "1 per minute"}
        service = a_remote_service(tmp_path, clock, table, limits=limits)
        waiting = [outcome(service, world.signed("a")).status for _ in range(5)]
        provider.answer = published(A)
        service.fetch()
        failing = [outcome(service, world.signed("a", sign=lambda _: b"x")) for _ in range(2)]

    assert waiting == [503] * 5
    assert [one.status for one in failing] == [401, 429]


# Restarts.


def test_issuer_removed_at_a_restart(world: World) -> None:
    """An issuer that is no longer configured is a stranger, its keys on disk or not."""
    service = world.restarted("b")

    assert outcome(service, world.signed("b")) == refused("iss_unknown")
    assert accepted_uid(service, world.signed("a")) == "a_alice"


def test_issuer_back_at_a_restart(world: World) -> None:
    """And with its table it is known again."""
    assert accepted_uid(world.restarted(), world.signed("b")) == "b_alice"


def test_issuer_that_moved_its_keys(world: World) -> None:
    """Keys that were kept from the old place prove nothing once there is a new one."""
    with a_provider(an_answer(b"", status="503 Busy")) as elsewhere:
        service = world.restarted(a={"jwks_url": elsewhere.jwks_url})

        assert outcome(service, world.signed("a")) == Refusal(
            503, "keys_unavailable", "keys_never_fetched"
        )
        assert accepted_uid(service, world.signed("b")) == "b_alice"


def test_copies_swapped_on_disk(world: World, tmp_path: Path) -> None:
    """The copy of one issuer under the name of another is not taken for it."""
    clock, tables = Clock(), world.tables()
    both = a_remote_service(tmp_path, clock, tables["a"], tables["b"])
    both.fetch()
    first, second = (tmp_path / "keys").glob("*.json")
    texts = first.read_bytes(), second.read_bytes()
    first.write_bytes(texts[1])
    second.write_bytes(texts[0])
    service = a_remote_service(tmp_path, clock, tables["a"], tables["b"])

    for name in "ab":
        assert outcome(service, world.signed(name)).reason == "keys_never_fetched"
    service.fetch()
    assert accepted_uid(service, world.signed("a")) == "a_alice"


def test_one_issuer_down(world: World, tmp_path: Path) -> None:
    """An issuer that is down costs the others nothing."""
    clock, tables = Clock(), world.tables()
    with a_provider(an_answer(b"", status="500 Oops")) as down:
        tables["a"]["jwks_url"] = down.jwks_url
        service = a_remote_service(tmp_path, clock, *tables.values())
        service.fetch()

        assert outcome(service, world.signed("a")).status == 503
        for name in "bcdhp":
            assert accepted_uid(service, world.signed(name)) == f"{name}_alice"


def test_everything_was_tried() -> None:
    """The signers are who they are said to be: six keys, one kid, no two issuers of one name."""
    signers = (A, B, C, D, H, P)

    assert len({signer.issuer for signer in signers}) == len(signers) == len(NAMES)
    assert {signer.kid for signer in (A, B, C, D)} == {KID}
    assert {signer.alg for signer in signers} <= ALGORITHMS.keys()
