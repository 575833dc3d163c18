"""The notebook: every figure that was measured, and what its median is."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

OWN = "tokensvc"
OWN_ON_REDIS = "tokensvc, Redis limiter"


@dataclass
class Notebook:
    """Figures by the server and by what they are of, one for each round."""

    figures: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    remarks: list[str] = field(default_factory=list)

    def note(self, server: str, **measured: float) -> None:
        """Write down figures of *server*, and tell them."""
        for name, value in measured.items():
            self.figures[server][name].append(value)
        told = "  ".join(f"{name} {value:.6g}" for name, value in measured.items())
        print(f"  {server:34} {told}", flush=True)

    def remark(self, text: str) -> None:
        """Write down what a reader must know, once."""
        if text not in self.remarks:
            self.remarks.append(text)
            print(f"  {text}", flush=True)

    def median(self, server: str, name: str) -> float | None:
        """Return the median of a figure, or None if it was not measured."""
        measured = self.figures.get(server, {}).get(name)
        return statistics.median(measured) if measured else None

    def ratio(self, server: str, other: str, name: str) -> float | None:
        """Return how many times as large a figure of *server* is as one of *other*."""
        above, below = self.median(server, name), self.median(other, name)
        return above / below if above is not None and below else None
