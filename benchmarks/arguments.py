"""Arguments: what makes no measurement is refused before anything starts."""

import argparse
import math
from pathlib import Path


def duration(text: str) -> float:
    """Return some seconds, more than none; anything else is an error of the command line."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} s are no time to measure in")
    return number


def count(text: str) -> int:
    """Return a number of things, at least one; anything else is an error of the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def checkout(text: str) -> Path:
    """Return a folder in which tokensvc is installed; another one is an error likewise."""
    folder = Path(text)
    if not (folder / ".venv/bin/tokensvc").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no .venv/bin/tokensvc: run make test there")
    return folder
