"""A call: one request that has found its route, with its app, its query and its body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tokensvc.emulator.rates import RateClass
from tokensvc.emulator.switches import Switches
from tokensvc.emulator.world import App, World

MAX_PER_PAGE: Final = 1000
DEFAULT_PER_PAGE: Final = 100

Side = Literal["rest", "client", "calls"]


@dataclass(frozen=True)
class Call:
    """What a handler gets. Path parts are as they were spelled, not URL-decoded."""

    world: World
    app: App
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    """The parsed JSON body, or an empty object where there is none."""

    @property
    def switches(self) -> Switches:
        """The switches of this world."""
        return self.world.switches

    @property
    def members(self) -> dict[str, Any]:
        """The body's members; a body that is no object has none."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True)
class Answer:
    """What a handler returns: the `data` of the envelope, and what stands beside it."""

    data: Any
    beside: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """Where a handler answers, and what a call to it counts as."""

    side: Side
    method: str
    pattern: str
    """Segments; one in braces matches any single segment."""
    handler: Handler
    rate_class: RateClass = "standard"
    scopes: frozenset[str] = frozenset({"fullAccess"})
    max_body_bytes: int = 10 * 1024
    """The documented limit of a POST body."""

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the path's parts by name, or None if this is another path."""
        wanted = self.pattern.split("/")
        if len(wanted) != len(segments):
            return None
        parts = {}
        for name, segment in zip(wanted, segments, strict=True):
            if name.startswith("{"):
                parts[name.strip("{}")] = segment
            elif name != segment:
                return None
        return parts


def a_page(call: Call, items: list[dict[str, Any]]) -> Answer:
    """Return one page of *items*, with the pagination that lists carry.

    Unverified: that a size out of range is moved into it, and not refused.
    """
    per_page = _number(call.query.get("perPage"), DEFAULT_PER_PAGE, MAX_PER_PAGE)
    page = _number(call.query.get("page"), 1, 10**6)
    shown = items[(page - 1) * per_page : page * per_page]
    pagination = {
        "total": len(items),
        "count": len(shown),
        "per_page": per_page,
        "current_page": page,
        "total_pages": max(1, -(-len(items) // per_page)),
    }
    return Answer(shown, {"meta": {"pagination": pagination}})


def _number(text: str | None, default: int, most: int) -> int:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004
    return min(max(1, int(text or "1")), most) if is_number else default
