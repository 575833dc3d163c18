"""Body places: whoever never finishes a body holds no place but their own."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.builders import a_token, bearer
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tokensvc.domain.errors import OverloadedError
from tokensvc.web.body_places import (
    MAX_KNOWN,
    OF_ONE_STRANGER,
    BodyPlaces,
    DeliveryPlaces,
    deliveries_at_once,
)
from tokensvc.web.tokens import MAX_BODIES_AT_ONCE

TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'


def held(places: BodyPlaces | DeliveryPlaces, callers: Sequence[str]) -> list[bool]:
    """Return for each of *callers*, one after the other, whether they got a place."""
    got = []
    with ExitStack() as stack:
        for caller in callers:
            try:
                stack.enter_context(places.place_of(caller))
                got.append(True)
            except OverloadedError:
                got.append(False)
    return got


def test_one_caller_has_their_share_and_no_more() -> None:
    """The second of one caller is refused, and the first of the next is not."""
    assert held(BodyPlaces(8, of_one=1), ["a", "a", "b"]) == [True, False, True]


def test_all_together_have_what_there_is() -> None:
    """However many callers there are, no more bodies are waited for."""
    assert held(BodyPlaces(2, of_one=1), ["a", "b", "c"]) == [True, True, False]


def test_places_are_given_back() -> None:
    """Whatever becomes of a body, its place is free again afterwards."""
    places = BodyPlaces(1, of_one=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), places.place_of("a"):
            raise ValueError("broken")

    assert held(places, ["b"]) == [True]


def test_strangers_leave_the_others_half_of_the_places() -> None:
    """However many strangers there are, whoever is known finds a place of their own."""
    places = DeliveryPlaces(8)
    places.remember("k")

    assert held(places, ["a", "b", "c", "d", "e", "k"]) == [True] * 4 + [False, True]


def test_a_stranger_has_few_places() -> None:
    """One network of strangers cannot hold all that is theirs, nor one of the known ones."""
    places = DeliveryPlaces(24)
    places.remember("k")

    assert held(places, "a" * OF_ONE_STRANGER + "ab") == [True] * OF_ONE_STRANGER + [False, True]
    assert held(places, "k" * 7) == [True] * 6 + [False]


def test_few_threads_have_few_places() -> None:
    """However few there are, one network of strangers does not hold all that are the strangers'."""
    assert held(DeliveryPlaces(deliveries_at_once(2)), "aab") == [True, False, True]


def test_the_longest_silent_are_forgotten() -> None:
    """What is remembered has an end: who was heard of lately stays known."""
    places = DeliveryPlaces(2 * MAX_KNOWN)
    for network in ["k", "l", *map(str, range(MAX_KNOWN - 2)), "k", "m"]:
        places.remember(network)

    assert held(places, "k" * 5) == [True] * 5
    assert held(places, "l" * 5) == [True] * OF_ONE_STRANGER + [False]


def a_body_that_never_comes(process: Process, user: str) -> socket.socket:
    host, port = process.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    connection.sendall(
        b"POST /v1/auth-tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        + f"Authorization: Bearer {a_token(sub=user)}\r\n\r\n{{".encode()
    )
    return connection


def test_one_user_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A user with as many unfinished bodies as there are places leaves places to everybody else."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
        ExitStack() as stack,
    ):
        for _ in range(MAX_BODIES_AT_ONCE):
            stack.enter_context(a_body_that_never_comes(process, "mallory"))
        # The server has taken them in when it has refused all but one.
        statuses = [
            requests.post(
                f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), json={}, timeout=10
            ).status_code
            for _ in range(5)
        ]

    assert statuses == [201] * 5
