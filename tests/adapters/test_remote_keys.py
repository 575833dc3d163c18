"""Remote keys: when they are fetched, what is believed meanwhile, and what is told of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Notices
from tests.raw_server import an_answer
from tests.remote_issuers import Clock, Provider, a_provider, a_set, a_signer, published
from tests.security.forging import RS
from tests.watching import watching
from tokensvc.adapters.http_client import Bounds
from tokensvc.adapters.key_copies import KeyCopy
from tokensvc.adapters.key_source import KeySource, Reach
from tokensvc.adapters.key_store import KeyStore
from tokensvc.adapters.remote_keys import OTHERS_TURN_S, RemoteKeys
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import KeysUnavailableError

NEW = a_signer(kid="key-2")
BUSY = an_answer(b"", status="503 Busy")


@dataclass
class World:
    """One provider, one directory, one clock, and as many processes as a test asks for."""

    provider: Provider
    folder: Path
    clock: Clock = field(default_factory=Clock)
    notices: Notices = field(default_factory=Notices)

    def keys(self, **reach: Any) -> RemoteKeys:
        """Return the keys as one more process has them."""
        source = KeySource(
            RS.issuer,
            self.provider.jwks_url,
            frozenset({"RS256"}),
            is_discovery=False,
            reach=Reach(Bounds(0.5, 1.0, 1.0), **reach),
        )
        return RemoteKeys(
            source,
            KeyStore(self.folder, now=self.clock.now),
            max_stale_s=86_400,
            notify=self.notices,
            clock=Clocks(self.clock.now, self.clock.monotonic),
        )

    def copy(self, *signers: Any, age_s: float = 0.0) -> KeyCopy:
        """Return a copy as another process would keep it."""
        fetched_at = self.clock.now() - age_s
        return KeyCopy(RS.issuer, self.provider.jwks_url, fetched_at, 300.0, a_set(*signers))

    def keep(self, copy: KeyCopy) -> None:
        """Let another process keep *copy*."""
        KeyStore(self.folder, now=self.clock.now).save(copy)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_provider(published(RS)) as provider:
        yield World(provider, tmp_path / "keys")


def reason_of(keys: RemoteKeys, kid: str | None = "key-1") -> str:
    """Return why it cannot be told at the moment which key *kid* is."""
    with pytest.raises(KeysUnavailableError) as caught:
        keys.find("RS256", kid)
    return caught.value.reason


@contextmanager
def fetching(world: World, keys: RemoteKeys, answer: bytes) -> Iterator[None]:
    """Hold a fetch of *keys* for the length of the block; then *answer* comes."""
    asked, go_on = threading.Event(), threading.Event()

    def hang(connection: Any) -> None:
        asked.set()
        go_on.wait(10)
        connection.sendall(answer)

    world.provider.answer = hang
    turn = threading.Thread(target=keys.turn)
    turn.start()
    try:
        assert asked.wait(10)
        yield
    finally:
        go_on.set()
        turn.join(10)


# When a set is fetched.


def test_fetched_ahead_of_its_age(world: World) -> None:
    """Nothing is fetched before 75 % of the age, and at 85 % it is, long before anyone needs it."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(224)
    keys.turn()
    assert world.provider.fetches == 1
    world.clock.advance(31)
    keys.turn()

    assert world.provider.fetches == 2


def test_age_is_the_issuers(world: World) -> None:
    """An issuer may ask for a longer or shorter age."""
    world.provider.answer = published(RS, cache_control="max-age=60")
    keys = world.keys()
    keys.turn()
    world.clock.advance(51)
    keys.turn()

    assert world.provider.fetches == 2


def test_next_turn_is_soon(world: World) -> None:
    """Between fetches the copies on disk are looked at every two seconds."""
    keys = world.keys()

    assert keys.turn() == 2.0


def test_failures_are_retried_with_growing_pauses(world: World) -> None:
    """One second, two, four and then five, each a little less by chance."""
    world.provider.answer = BUSY
    keys = world.keys()
    pauses = []
    for _ in range(5):
        keys.turn()
        before = world.provider.fetches
        pause = 0.0
        while world.provider.fetches == before:
            pause += 0.25
            world.clock.advance(0.25)
            keys.turn()
        pauses.append(pause)

    for pause, longest in zip(pauses, [1, 2, 4, 5, 5], strict=True):
        assert 0.75 * longest <= pause <= longest


# Kids that are not known.


def test_unknown_kid_has_one_look_in_thirty_seconds(world: World) -> None:
    """Counted from the attempt: until then a kid that is not there does not exist."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(29.9)
    assert keys.find("RS256", "x") is None
    keys.turn()
    assert world.provider.fetches == 1
    world.clock.advance(0.2)

    assert reason_of(keys, "x") == "key_unknown_and_being_fetched"
    keys.turn()
    assert (world.provider.fetches, keys.find("RS256", "x")) == (2, None)


def test_turn_without_a_wish_fetches_nothing(world: World) -> None:
    """And without somebody asking for it nothing is looked for after thirty seconds."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(31)
    keys.turn()

    assert world.provider.fetches == 1


def test_known_kid_with_another_algorithm_is_no_reason_to_fetch(world: World) -> None:
    """A key is bound to its algorithm: the next set would not change that."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(31)

    assert keys.find("PS256", "key-1") is None
    keys.turn()
    assert world.provider.fetches == 1


def test_no_kid(world: World) -> None:
    """A token without a kid is matched with an only candidate; where there is none, one looks."""
    world.provider.answer = published(RS, NEW)
    keys = world.keys()
    keys.turn()
    assert keys.find("RS256", None) is None
    world.clock.advance(31)

    assert reason_of(keys, None) == "key_unknown_and_being_fetched"
    world.provider.answer = published(NEW)
    keys.turn()
    assert keys.find("RS256", None)


def test_no_lookup_waits_for_a_fetch(world: World) -> None:
    """While the provider lets a fetch hang, known kids are found, and unknown ones told so."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(255)
    with fetching(world, keys, published(RS, NEW)):
        found = [keys.find("RS256", "key-1") for _ in range(100)]
        reason = reason_of(keys, "key-2")

    assert all(found)
    assert reason == "key_unknown_and_being_fetched"
    assert keys.find("RS256", "key-2")


def test_wish_of_the_past_is_no_wish(world: World) -> None:
    """Whoever looked into a set that has been replaced meanwhile asks for nothing any more."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(31)
    reason_of(keys, "x")
    keys.turn()
    world.clock.advance(31)
    keys.turn()

    assert world.provider.fetches == 2


# Replaced, never merged.


def test_replaced_not_merged(world: World) -> None:
    """What the next set does not hold is gone."""
    world.provider.answer = published(RS, NEW)
    keys = world.keys()
    keys.turn()
    world.provider.answer = published(NEW)
    world.clock.advance(300)
    keys.turn()

    assert keys.find("RS256", "key-1") is None
    assert keys.find("RS256", "key-2")
    assert world.notices.events[-1].facts["removed"] == 1


# Between processes.


def test_restart_during_an_outage(world: World) -> None:
    """What one process has kept, the next one begins with, once it has asked in vain."""
    world.keys().turn()
    world.provider.answer = BUSY
    world.clock.advance(7200)
    keys = world.keys()
    keys.turn()

    assert keys.find("RS256", "key-1")
    assert keys.is_settled


def test_restart_after_a_removal(world: World) -> None:
    """A key that was removed while the service was down is not taken, not even for a moment."""
    world.keys().turn()
    world.provider.answer = published(NEW)
    world.clock.advance(7200)
    keys = world.keys()

    assert (reason_of(keys), keys.is_settled) == ("keys_being_fetched", False)
    keys.turn()
    assert (keys.find("RS256", "key-1"), keys.is_settled) == (None, True)


def test_old_copy_during_an_outage(world: World) -> None:
    """A running process goes on through an outage, also with a copy that is newer and yet old."""
    keys = world.keys()
    keys.turn()
    world.provider.answer = BUSY
    world.clock.advance(1000)
    keys.turn()
    world.keep(world.copy(RS, NEW, age_s=400))
    with fetching(world, keys, BUSY):
        found = keys.find("RS256", "key-2")

    assert found


def test_restart_with_fresh_keys(world: World) -> None:
    """And keys that are not past their age are good at once, without a fetch."""
    world.keys().turn()
    world.clock.advance(200)
    keys = world.keys()

    assert keys.is_settled
    assert keys.find("RS256", "key-1")
    assert world.provider.fetches == 1


def test_age_is_counted_from_the_fetch(world: World) -> None:
    """A restart makes no key younger: a day after the fetch it ends for all."""
    world.keys().turn()
    world.provider.answer = BUSY
    world.clock.advance(86_401)
    keys = world.keys()
    keys.turn()

    assert reason_of(keys) == "keys_too_old"


def test_one_fetch_for_all_processes(world: World) -> None:
    """What one process fetches, the others take from disk instead of asking themselves."""
    first, second, third = (world.keys() for _ in range(3))
    first.turn()
    world.provider.answer = published(RS, NEW)
    for _ in range(30):
        for keys in (first, second, third):
            keys.turn()
        world.clock.advance(10)

    assert world.provider.fetches == 2
    assert all(keys.find("RS256", "key-2") for keys in (first, second, third))


def test_one_fetch_of_two_processes_at_once(world: World) -> None:
    """Whoever finds a key wanting while another is asking for it waits for that answer."""
    first, second = world.keys(), world.keys()
    for keys in (first, second):
        keys.turn()
    world.clock.advance(31)
    for keys in (first, second):
        assert reason_of(keys, "key-2") == "key_unknown_and_being_fetched"
    with fetching(world, first, published(RS, NEW)):
        again_s = second.turn()
        assert reason_of(second, "key-2") == "key_unknown_and_being_fetched"

    second.turn()

    assert (again_s, world.provider.fetches) == (OTHERS_TURN_S, 2)
    assert second.find("RS256", "key-2")


def test_copy_of_a_later_fetch_is_taken(world: World) -> None:
    """A removed key is refused at the next look after another process has seen that it is gone."""
    keys = world.keys()
    keys.turn()
    world.clock.advance(1)
    world.keep(world.copy(NEW))
    keys.turn()

    assert keys.find("RS256", "key-1") is None
    assert keys.find("RS256", "key-2")


def test_copy_of_an_earlier_fetch_is_not(world: World) -> None:
    """And a copy that is older than what is known brings no removed key back."""
    keys = world.keys()
    world.clock.advance(100)
    keys.turn()
    for file in world.folder.glob("*.json"):
        file.write_bytes(world.copy(NEW, age_s=50).to_text())
    keys.turn()

    assert keys.find("RS256", "key-1")


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_clock_is_set(world: World, step_s: float) -> None:
    """A clock that is set by an hour delays no refresh, ages no key, and hides no newer copy."""
    keys = world.keys()
    keys.turn()
    world.clock.set_by(step_s)
    world.clock.advance(100)
    keys.turn()
    assert (world.provider.fetches, bool(keys.find("RS256", "key-1"))) == (1, True)
    world.keep(world.copy(NEW))
    keys.turn()
    assert keys.find("RS256", "key-2")
    world.clock.advance(255)
    keys.turn()

    assert world.provider.fetches == 2
    assert keys.find("RS256", "key-1")


def test_copy_goes_through_the_key_policy(world: World) -> None:
    """A copy with a key that would not be taken from the issuer is not taken from disk."""
    keys = world.keys()
    bad = b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x"}]}'
    copy = world.copy(RS)
    world.keep(KeyCopy(copy.issuer, copy.url, copy.fetched_at, 300.0, bad))
    world.provider.answer = BUSY
    keys.turn()

    assert reason_of(keys) == "keys_never_fetched"
    assert world.notices.events[0].facts["reason"] == "copy_refused"


def test_age_in_a_copy_is_bounded(world: World) -> None:
    """Nor does a copy say for how long it is good, beyond what is configured."""
    copy = world.copy(RS)
    world.keep(KeyCopy(copy.issuer, copy.url, copy.fetched_at, 1e9, copy.jwks))
    keys = world.keys()
    world.clock.advance(255)
    keys.turn()

    assert world.provider.fetches == 1


def test_without_a_directory(world: World) -> None:
    """A directory that cannot be trusted is an alarm, once, and the service goes on without it."""
    world.folder.mkdir(mode=0o777)
    world.folder.chmod(0o777)
    keys = world.keys()
    for _ in range(3):
        keys.turn()

    assert keys.find("RS256", "key-1")
    assert list(world.folder.iterdir()) == []
    (alarm,) = [event for event in world.notices.events if event.is_alarm]
    assert (alarm.name, alarm.facts["reason"]) == (
        "keys_store_unusable",
        "directory_open_to_others",
    )


# What is told.


def test_events_of_an_outage(world: World) -> None:
    """A failure, each further one, and the recovery are told; a change of keys with its size."""
    keys = world.keys()
    keys.turn()
    world.provider.answer = BUSY
    for _ in range(2):
        world.clock.advance(300)
        keys.turn()
    world.provider.answer = published(RS, NEW)
    world.clock.advance(10)
    keys.turn()

    assert world.notices.names() == [
        "keys_changed",
        "keys_fetch_failed",
        "keys_fetch_failed",
        "keys_fetch_recovered",
        "keys_changed",
    ]
    assert not any(event.is_alarm for event in world.notices.events)
    assert world.notices.events[-1].facts == {
        "issuer": RS.issuer,
        "added": 1,
        "removed": 0,
        "replaced": 0,
    }


def test_refused_keys_are_an_alarm(world: World) -> None:
    """An issuer that publishes what must not be trusted is something to look at."""
    keys = world.keys()
    keys.turn()
    world.provider.answer = an_answer(b'{"keys": []}')
    world.clock.advance(300)
    keys.turn()

    event = world.notices.events[-1]
    assert (event.is_alarm, event.facts["reason"]) == (True, "keys_refused")
    assert event.facts["detail"] == "the JWKS has no key for the algorithms of this issuer"


def test_no_keys_at_all_are_an_alarm(world: World) -> None:
    """So is an issuer whose users cannot log in at all."""
    world.provider.answer = BUSY
    keys = world.keys()
    assert not keys.is_settled
    keys.turn()

    assert keys.is_settled
    assert [event.is_alarm for event in world.notices.events] == [True]


def test_too_old_is_told_once(world: World) -> None:
    """The moment when stale keys end is one alarm, not one every two seconds."""
    keys = world.keys()
    keys.turn()
    world.provider.answer = BUSY
    world.clock.advance(86_401)
    for _ in range(3):
        keys.turn()

    assert world.notices.names().count("keys_too_old") == 1


# Its thread.


def test_thread_begins_when_asked_to(world: World) -> None:
    """Nothing runs and nothing is fetched before the door says so."""
    with watching() as doings:
        keys = world.keys()
    assert doings.threads == []
    asked = threading.Event()

    def answer(connection: Any) -> None:
        connection.sendall(published(RS))
        asked.set()

    world.provider.answer = answer
    keys.start()
    assert asked.wait(10)
    keys.stop()

    assert keys.find("RS256", "key-1")
    assert any(world.folder.iterdir())


def test_unknown_kid_is_looked_for_at_once(world: World) -> None:
    """Whoever is told to come back in two seconds does not find that nobody has looked yet."""
    asked = threading.Semaphore(0)

    def answer(connection: Any) -> None:
        asked.release()
        connection.sendall(published(RS))

    world.provider.answer = answer
    keys = world.keys()
    keys.start()
    assert asked.acquire(timeout=10)
    while not keys.is_settled:
        pass
    world.clock.advance(31)
    reason_of(keys, "x")

    # Without being woken the thread would look around after two seconds.
    assert asked.acquire(timeout=1.5)
    keys.stop()
