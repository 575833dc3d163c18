"""The report: what was measured, as a page that a person can read."""

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from benchmarks.bench import Plan
from benchmarks.goals import number, rows
from benchmarks.notebook import OWN, Notebook
from benchmarks.plot import plotted

WIDTH: Final = 100
COLUMNS: Final = {
    "logins/s": "per_s",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "CPU µs": "cpu_us",
    "peak RSS MB": "peak_rss_mb",
    "errors": "errors",
}
EXPLAINED: Final = """\
One login: verify an HS256 session token with iss, aud and exp, limit the user, ask the vendor for
a fresh auth token, write a log line, answer. 2,000 users, 64 connections in a closed loop, a vendor
that takes 20 ms, unless said otherwise; one process per core. An answer with another status,
another uid, a token that is not that user's, or one that was handed out before is an error. CPU is
that of all processes of a server, user and system, from /proc (Redis' own is not in it); peak RSS
is the sum of their highest. Everything is on in tokensvc: limits, audit line, metrics, breaker,
budget, the limits so high that nobody meets them. Load and vendor share the machine's cores with
the server: ratios carry over to other machines, absolute figures do not. At 64 connections and
20 ms nobody can serve more than 3,200 logins a second: whoever comes near it waits for the vendor,
and what they have left is in their CPU.
"""
OF_PEERS: Final = {
    "tutorial Flask": (
        "The peers trust one certificate, which costs them less than the public bundle."
        ' "tutorial Flask" has one process; it looks for the user and creates them before it asks'
        " for the token, as tutorials do: three calls. Beside it the same without those two."
    ),
    "Express + undici": (
        '"Express + undici" hands jsonwebtoken its secret as text, as examples of that library do:'
        " it tries to read that as a PEM at each call. Beside it the same with a key object made"
        " once."
    ),
}
"""What is to be known of some peers, by their names."""
OF_OTHERS: Final = {
    "storm_per_s": (
        "With 256 connections more are asking than may be in flight: there a 503 is no error, and"
        " counted by itself (`storm_refused`); in the other closed loops it is one."
    ),
    "added_ms": (
        "Added latency is the p50 of a login less the p50 of the same call made at the vendor"
        " directly."
    ),
    "probes_answered": (
        "While the vendor hangs, 1,000 connections ask again as soon as they are answered, whatever"
        " the answer, and each health probe has a connection of its own."
    ),
    "served_part": (
        "Overload is three times what 64 connections were served just before, at a steady rate, on"
        " 1,000 connections; each answer is timed from when its request was due. 64 connections to"
        " a vendor that takes 20 ms cannot get more than 3,200 logins a second, however fast the"
        " server is; `most_per_s` is what 256 get, and who serves more than 64 connections get"
        " has a part of more than 1. To ask and to refuse takes the same cores."
    ),
    "users_ratio": "Live users are counted by one worker.",
    "worker_mb": (
        "Memory per worker is the PSS of all processes of tokensvc, divided by the workers."
    ),
    "ready_after_s": "Cold start is from the command to the first 200 of `/readyz`.",
    "soak_growth_percent": "Growth of memory is from the second tenth of the time to the last.",
}
"""How the rest was measured, each by a figure that comes of it."""


def written(
    notes: Notebook, plan: Plan, machine: Sequence[str], *, speaks_tls: bool, has_plot: bool
) -> str:
    """Return the page, which explains what was measured and nothing else."""
    how = f"{plan.rounds} rounds, interleaved, {plan.seconds:g} s each; medians"
    vendor = "HTTPS" if speaks_tls else "HTTP"
    parts = [
        "# What a login costs",
        f"Written by `make bench`: {how}. The vendor speaks {vendor}, kept alive.",
        "\n".join(f"- {line}" for line in machine),
    ]
    if goals := list(rows(notes)):
        parts += ["## Goals", "\n".join(goals)]
    if notes.median(OWN, "cpu_us") is not None:
        parts += [
            "## Side by side",
            "![CPU per login and logins per second](RESULTS.svg)" if has_plot else "",
            "\n".join(_side_by_side(notes)),
            EXPLAINED.rstrip(),
            _known(OF_PEERS, notes.figures),
        ]
    if others := list(_others(notes)):
        parts += ["## The rest", _known(OF_OTHERS, notes.figures[OWN]), "\n".join(others)]
    if notes.remarks:
        parts += ["## Remarks", "\n".join(f"- {remark}" for remark in notes.remarks)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _known(texts: Mapping[str, str], measured: Container[str]) -> str:
    told = " ".join(text for name, text in texts.items() if name in measured)
    return fill(told, WIDTH, break_on_hyphens=False)


def _side_by_side(notes: Notebook) -> Iterator[str]:
    yield f"| server | {' | '.join(COLUMNS)} | CPU against tokensvc | load, vendor: cores |"
    yield "|---" * (len(COLUMNS) + 3) + "|"
    for server in notes.figures:
        if (ratio := notes.ratio(server, OWN, "cpu_us")) is None:
            continue
        cells = [number(notes.median(server, name) or 0.0) for name in COLUMNS.values()]
        cores = [number(notes.median(server, f"{who}_cores") or 0.0) for who in ("load", "vendor")]
        yield f"| {server} | {' | '.join(cells)} | {ratio:.2f}x | {', '.join(cores)} |"


def _others(notes: Notebook) -> Iterator[str]:
    known = {*COLUMNS.values(), "load_cores", "vendor_cores"}
    others = {name: each for name, each in notes.figures[OWN].items() if name not in known}
    if others:
        yield "| figure of tokensvc | median | each round |"
        yield "|---|---|---|"
    for name, measured in others.items():
        each = ", ".join(map(number, measured))
        yield f"| {name} | {number(notes.median(OWN, name) or 0.0)} | {each} |"


def write(page: str, notes: Notebook, folder: Path) -> list[str]:
    """Write page and plot into *folder*, where they have something to say.

    Returns the names of the files that were written. A page without a measured goal is not,
    so that it does not take the place of one that has some.
    """
    if not any(rows(notes)):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = {"RESULTS.md": page}
    if picture := plotted(notes):
        files["RESULTS.svg"] = picture
    for name, text in files.items():
        (folder / name).write_text(text)
    return list(files)
