"""The plot: CPU per login and logins a second, one bar for each server, as SVG."""

from collections.abc import Iterator
from html import escape
from typing import Final

from benchmarks.goals import number
from benchmarks.notebook import Notebook

HEADING: Final = "One login: tokensvc beside its peers"
WIDTH: Final = 480
"""So wide that the text is still ten pixels high where a telephone shows it on 375."""
FONT: Final = 14
MARGIN: Final = 12
VALUES: Final = 60
ROW: Final = 42
BAR: Final = 16
TOP: Final = 66
GAP: Final = 76
OWN_COLOUR: Final = "#1f6feb"
PEERS_COLOUR: Final = "#8c959f"
INK: Final = "#1f2328"
PANELS: Final = (
    ("cpu_us", "CPU per login", "µs of the whole server; less is better"),
    ("per_s", "Logins per second", "64 connections, 20 ms vendor; more is better"),
)


def plotted(notes: Notebook) -> str | None:
    """Return the picture, or None if nothing was measured that it shows."""
    servers = [name for name in notes.figures if notes.median(name, "cpu_us") is not None]
    if not servers:
        return None
    height = TOP + len(PANELS) * (len(servers) * ROW + GAP) - MARGIN
    # Without a size of its own it would fill a wide page, with letters as large as headings.
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}',
        f' font-family="sans-serif" font-size="{FONT}" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="32" font-size="18" font-weight="bold">{HEADING}</text>',
    ]
    for rank, panel in enumerate(PANELS):
        parts.extend(_panel(notes, servers, panel, TOP + rank * (len(servers) * ROW + GAP)))
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    notes: Notebook, servers: list[str], panel: tuple[str, str, str], top: int
) -> Iterator[str]:
    name, title, what = panel
    measured = {server: notes.median(server, name) or 0.0 for server in servers}
    most = max(measured.values()) or 1.0
    yield f'<text x="{MARGIN}" y="{top}" font-weight="bold">{escape(title)}</text>'
    yield f'<text x="{MARGIN}" y="{top + 20}">{escape(what)}</text>'
    order = sorted(measured, key=lambda server: measured[server], reverse=name == "per_s")
    for rank, server in enumerate(order):
        y = top + 48 + rank * ROW
        length = measured[server] / most * (WIDTH - 2 * MARGIN - VALUES)
        is_own = server.startswith("tokensvc")
        weight = ' font-weight="bold"' if is_own else ""
        yield f'<text x="{MARGIN}" y="{y}"{weight}>{escape(server)}</text>'
        colour = OWN_COLOUR if is_own else PEERS_COLOUR
        place = f'x="{MARGIN}" y="{y + 5}" width="{length:.1f}" height="{BAR}"'
        yield f'<rect {place} fill="{colour}"/>'
        value = number(measured[server])
        yield f'<text x="{MARGIN + length + 6:.1f}" y="{y + 18}">{value}</text>'
