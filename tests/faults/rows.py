"""Rows: one per fault of a neighbour, which the tests run and `docs/faults.md` prints."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, the answer that a login gets during it, and what tells the operator."""

    neighbour: str
    fault: str
    status: int
    """0 where a request gets no answer at all."""
    code: str
    """The problem's code, or "ok"."""
    operator: str
    """The reason in the audit record, the name of the operational event, or a sentence."""

    def __str__(self) -> str:
        return self.fault


class Told(Protocol):
    """What every kind of row has, for the document."""

    @property
    def neighbour(self) -> str:
        """Who fails."""

    @property
    def fault(self) -> str:
        """In which way."""

    @property
    def status(self) -> int:
        """The status that a client sees, or 0 for none."""

    @property
    def code(self) -> str:
        """The problem's code, or "ok"."""

    @property
    def operator(self) -> str:
        """What the operator sees."""
