"""Fuzzing in large: mutants by the million, led by what the code does with them (`make fuzz`)."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris
import click

# Atheris follows branches in modules that are imported under its eyes.
with atheris.instrument_imports(include=["tokensvc"], enable_loader_override=False):
    from tests.security.fuzzing import Figures, FindingError, Target, issuers, verifier

SEED = 20_261_125
MAX_BYTES = 96
"""What a mutant is spelled with; further bytes would decide nothing."""


@click.command()
@click.option("--mutants", default=1_000_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(1))
@click.option(
    "--findings",
    default=Path("fuzz-findings"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the bytes of a mutant are kept that broke a promise.",
)
@click.option("--again", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def fuzz(mutants: int, seed: int, findings: Path, again: Path | None) -> None:
    """Try mutants until there are enough, or one breaks a promise; then exit with 1.

    With --again FILE try that one mutant alone.
    """
    target = Target(verifier(issuers()).verify)
    if again is not None:
        target.try_one(again.read_bytes())
        click.echo(_told(target.figures, 0.0))
        return
    options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-len_control=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options], _campaign(target, mutants, findings))
    atheris.Fuzz()


def _campaign(target: Target, mutants: int, findings: Path) -> Callable[[bytes], None]:
    started = time.monotonic()

    def try_one(data: bytes) -> None:
        try:
            target.try_one(data)
        except FindingError as finding:
            findings.mkdir(exist_ok=True)
            kept = findings / f"mutant-{target.figures.mutants}"
            kept.write_bytes(data)
            _end(f"{finding}\nkept in {kept}\n{_told(target.figures, _since(started))}", code=1)
        if target.figures.mutants >= mutants:
            _end(_told(target.figures, _since(started)), code=0)

    return try_one


def _since(started: float) -> float:
    return time.monotonic() - started


def _end(text: str, *, code: int) -> None:
    """Say *text* and end at once: libFuzzer would go on, or call it a crash."""
    click.echo(text)
    sys.stdout.flush()
    os._exit(code)


def _told(figures: Figures, duration_s: float) -> str:
    refused = sum(figures.refusals.values())
    reasons = "\n".join(
        f"  {count:9,}  {reason}" for reason, count in figures.refusals.most_common()
    )
    return f"""
{figures.mutants:,} mutants in {duration_s:,.0f} s
{figures.accepted:,} accepted, each signed by an issuer and good
{refused:,} refused:
{reasons}
{figures.mutants - figures.accepted - refused:,} other exceptions, or accepted and not signed
{figures.slowest_s * 1000:.2f} ms of CPU for the slowest: {figures.slowest[:100]}…
"""


if __name__ == "__main__":
    fuzz()
