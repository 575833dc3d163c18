"""The fuzzer's edits: what may happen to a JSON object, a text or a signature."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.security.fuzz_vocabulary import ALGS, AUDIENCES, NAMES, NUMBERS, TEXT_NOISE, VALUES

T = TypeVar("T")
Members = list[tuple[bytes, bytes]]
"""A JSON object in the bytes of its names and values: it may have a name twice."""

FITTING: Final[Mapping[bytes, Sequence[bytes]]] = {
    b"alg": ALGS,
    b"aud": AUDIENCES,
    b"exp": NUMBERS,
    b"nbf": NUMBERS,
    b"iat": NUMBERS,
}
"""Values that say something under a name; under any other, all of them do."""
BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Choices:
    """Decisions, read from bytes: the same bytes make the same mutant; at their end all are 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, limit: int) -> int:
        """Return a number from 0 to less than *limit*, or 0 where there is none."""
        width = 1 if limit <= 256 else 2
        number = int.from_bytes(self._data[self._at : self._at + width], "big")
        self._at += width
        return number % max(1, limit)

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]


def _set_value(choices: Choices, members: Members) -> None:
    if members:
        at = choices.below(len(members))
        name = members[at][0]
        members[at] = name, choices.one_of(FITTING.get(name, VALUES))


def _declare_alg(choices: Choices, members: Members) -> None:
    for at, (name, _) in enumerate(members):
        if name == b"alg":
            members[at] = name, choices.one_of(ALGS)


def _drop(choices: Choices, members: Members) -> None:
    if members:
        del members[choices.below(len(members))]


def _add(choices: Choices, members: Members) -> None:
    name = choices.one_of(NAMES)
    value = choices.one_of(FITTING.get(name, VALUES))
    members.insert(choices.below(len(members) + 1), (name, value))


def _repeat(choices: Choices, members: Members) -> None:
    """Give a member twice, with another value or the same one, as it is or spelled with escapes."""
    if not members:
        return
    name, value = choices.one_of(members)
    if name and choices.below(2):
        name = b"\\u%04x%s" % (name[0], name[1:])
    twin = (name, choices.one_of(VALUES) if choices.below(2) else value)
    members.insert(choices.below(len(members) + 1), twin)


def _rename(choices: Choices, members: Members) -> None:
    if members:
        at = choices.below(len(members))
        members[at] = choices.one_of(NAMES), members[at][1]


def _shuffle(choices: Choices, members: Members) -> None:
    if members:
        members.append(members.pop(choices.below(len(members))))


MEMBER_EDITS: Final[Sequence[Callable[[Choices, Members], None]]] = (
    *(_set_value, _set_value, _declare_alg, _drop, _add, _repeat, _rename, _shuffle),
)


def with_noise(choices: Choices, whole: bytes, noise: bytes) -> bytes:
    """Return *whole* with *noise* put somewhere into it, or over as much of it."""
    at = choices.below(len(whole) + 1)
    return whole[:at] + noise + whole[at + (len(noise) if choices.below(2) else 0) :]


def _insert(choices: Choices, text: str) -> str:
    at = choices.below(len(text) + 1)
    return text[:at] + choices.one_of(TEXT_NOISE) + text[at:]


def _change_char(choices: Choices, text: str) -> str:
    at = choices.below(len(text))
    return text[:at] + choices.one_of(BASE64) + text[at + 1 :]


def _change_end(choices: Choices, text: str) -> str:
    """Change the last character of a segment: some of its bits are not part of any byte."""
    segments = text.split(".")
    at = choices.below(len(segments))
    segments[at] = segments[at][:-1] + choices.one_of(BASE64)
    return ".".join(segments)


def _cut(choices: Choices, text: str) -> str:
    start = choices.below(len(text) + 1)
    return text[:start] + text[start + 1 + choices.below(256) :]


def _move_segment(choices: Choices, text: str) -> str:
    segments = text.split(".")
    segments.insert(choices.below(len(segments)), segments.pop(choices.below(len(segments))))
    return ".".join(segments)


def _double_segment(choices: Choices, text: str) -> str:
    segments = text.split(".")
    return ".".join((*segments, choices.one_of(segments)))


def _empty_segment(choices: Choices, text: str) -> str:
    segments = text.split(".")
    segments[choices.below(len(segments))] = ""
    return ".".join(segments)


def _swap_case(choices: Choices, text: str) -> str:
    at = choices.below(len(text))
    return text[:at] + text[at:].swapcase()


def _pad(choices: Choices, text: str) -> str:
    segments = text.split(".")
    segments[choices.below(len(segments))] += "=" * (1 + choices.below(3))
    return ".".join(segments)


TEXT_EDITS: Final[Sequence[Callable[[Choices, str], str]]] = (
    *(_insert, _insert, _change_char, _change_end, _cut, _move_segment, _double_segment),
    *(_empty_segment, _swap_case, _pad),
)


def _flip_bit(choices: Choices, signature: bytes) -> bytes:
    if not signature:
        return b"\x01"
    at = choices.below(len(signature))
    return signature[:at] + bytes([signature[at] ^ 1 << choices.below(8)]) + signature[at + 1 :]


def _resize(choices: Choices, signature: bytes) -> bytes:
    return choices.one_of(
        (signature[:-1], b"\x00" + signature, signature + b"\x00", signature * 2, b"")
    )


def _swap_halves(_: Choices, signature: bytes) -> bytes:
    half = len(signature) // 2
    return signature[half:] + signature[:half]


def _as_der(_: Choices, signature: bytes) -> bytes:
    half = len(signature) // 2
    return encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )


def _constant(choices: Choices, signature: bytes) -> bytes:
    """Zeros, ones, or the order of P-256 in each half: numbers that break careless arithmetic."""
    order = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    size = len(signature)
    return choices.one_of((bytes(size), b"\xff" * size, b"\x01".rjust(size, b"\x00"), order * 2))


SIGNATURE_EDITS: Final[Sequence[Callable[[Choices, bytes], bytes]]] = (
    *(_flip_bit, _flip_bit, _resize, _swap_halves, _as_der, _constant),
)
