"""The plot: CPU per login and logins a second, one bar for each server, as SVG."""

from collections.abc import Iterator
from html import escape
from typing import Final

from benchmarks.goals import number
from benchmarks.notebook import Notebook

HEADING: Final = "One login: tokensvc beside its peers"
WIDTH: Final = 900
LABELS: Final = 250
ROW: Final = 26
TOP: Final = 64
GAP: Final = 70
OWN_COLOUR: Final = "#1f6feb"
PEERS_COLOUR: Final = "#8c959f"
INK: Final = "#1f2328"
PANELS: Final = (
    ("cpu_us", "CPU per login, µs of the whole server (less is better)"),
    ("per_s", "Logins per second, 64 connections, 20 ms vendor (more is better)"),
)


def plotted(notes: Notebook) -> str | None:
    """Return the picture, or None if nothing was measured that it shows."""
    servers = [name for name in notes.figures if notes.median(name, "cpu_us") is not None]
    if not servers:
        return None
    height = TOP + len(PANELS) * (len(servers) * ROW + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        f' font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="32" font-size="18" font-weight="bold">{HEADING}</text>',
    ]
    top = TOP
    for name, title in PANELS:
        parts.extend(_panel(notes, servers, name, title, top))
        top += len(servers) * ROW + GAP
    return "\n".join([*parts, "</svg>", ""])


def _panel(notes: Notebook, servers: list[str], name: str, title: str, top: int) -> Iterator[str]:
    measured = {server: notes.median(server, name) or 0.0 for server in servers}
    most = max(measured.values()) or 1.0
    yield f'<text x="20" y="{top}" font-weight="bold">{escape(title)}</text>'
    order = sorted(measured, key=lambda server: measured[server], reverse=name == "per_s")
    for rank, server in enumerate(order):
        y = top + 12 + rank * ROW
        length = measured[server] / most * (WIDTH - LABELS - 100)
        is_own = server.startswith("tokensvc")
        weight = ' font-weight="bold"' if is_own else ""
        place = f'x="{LABELS - 10}" y="{y + 15}" text-anchor="end"'
        yield f"<text {place}{weight}>{escape(server)}</text>"
        colour = OWN_COLOUR if is_own else PEERS_COLOUR
        yield f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="20" fill="{colour}"/>'
        yield f'<text x="{LABELS + length + 6:.1f}" y="{y + 15}">{number(measured[server])}</text>'
