"""Endings: who is told to end ends what they have started, and says nothing about it."""

import asyncio
import signal
import sys
from types import FrameType
from typing import Final

TOLD_BY: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OF_SIGNALS: Final = 128


def end_in_order() -> None:
    """From now on leave all blocks that are open when a signal tells to end, also with Ctrl-C.

    The exit code is the one that a shell would give: 128 and the signal's number.
    """
    for number in TOLD_BY:
        # What runs behind nohup goes on when the terminal is closed.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (whatever it is at)
    # Another signal would interrupt the ending: a terminal that is closed often sends two.
    for other in TOLD_BY:
        signal.signal(other, signal.SIG_IGN)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.exit(OF_SIGNALS + number)
    # Raised here it would be told as an error of whichever task is at work.
    loop.call_soon_threadsafe(sys.exit, OF_SIGNALS + number)
