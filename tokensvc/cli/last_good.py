"""Last good settings: what a new worker goes on with when it cannot load its own."""

import os
import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

import click

from tokensvc.domain.audit import OperationalEvent
from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError, load_settings

REFRESH_EVERY_S: Final = 3.0
"""As often as the workers look at their secret files: what they have taken, we have too."""


class LastGoodSettings:
    """The newest settings that could be loaded; a forked process inherits them.

    A worker that dies while a file of the settings is bad would be followed by one
    that cannot begin, and the server takes two of these for a crash loop and ends
    the healthy workers with itself.
    """

    def __init__(self) -> None:
        self.kept: Settings | None = None

    def keep(self, settings: Settings) -> None:
        """Keep *settings*, which could be loaded, in the place of those from before."""
        self.kept = settings

    def keep_fresh(self, environ: Mapping[str, str]) -> None:
        """Load the settings every few seconds, so that a secret that has changed is kept too.

        By a signal and not by a thread: a fork in the middle of a thread's work
        would leave the worker with whatever locks that held. No fork inherits the timer.
        """

        def refresh(_signal: int, _frame: FrameType | None) -> None:
            self.refresh(environ)

        signal.signal(signal.SIGALRM, refresh)
        signal.setitimer(signal.ITIMER_REAL, REFRESH_EVERY_S, REFRESH_EVERY_S)

    def rest(self) -> None:
        """Load the settings no more: at the end of a process its signals kill it."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def refresh(self, environ: Mapping[str, str]) -> None:
        """Keep what *environ* asks for now, if it can be used; the workers tell if it cannot."""
        try:
            self.keep(load_settings(environ))
        except ConfigurationError:
            return

    def for_worker(self, environ: Mapping[str, str]) -> tuple[Settings, Sequence[OperationalEvent]]:
        """Return the settings to begin with, and what there is to tell of them.

        Raises `ConfigurationError` if they cannot be used and none were kept.
        """
        try:
            return load_settings(environ), ()
        except ConfigurationError as error:
            if self.kept is None:
                raise
            for fault in error.faults:
                click.echo(f"a new worker has the settings from before: {fault}", err=True)
            facts = {"faults": len(error.faults)}
            return self.kept, (OperationalEvent("settings_refused", facts, is_alarm=True),)


LAST_GOOD: Final = LastGoodSettings()
"""The server's own: its workers are forked, and begin with this module as it is."""


def inherited_settings() -> tuple[Settings, Sequence[OperationalEvent]]:
    """Return what a worker process of the server begins with, and what there is to tell."""
    return LAST_GOOD.for_worker(os.environ)
