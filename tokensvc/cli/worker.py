"""The worker as a process: until it is told to stop, or whoever started it is gone."""

import os
import signal
import sys
from typing import Final

import click

from tokensvc.cli.loading import demand_database, settings_or_exit
from tokensvc.cli.side_process import DRAIN_S
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.worker import create_worker

NOT_FINISHED: Final = 75
"""EX_TEMPFAIL of sysexits.h: an event was under way, and comes back when its lease is over."""


@click.command()
@click.option("--threads", type=click.IntRange(1, 64), help="[setting: worker.threads]")
@click.option("--parent", type=int, hidden=True, help="End when this is not the parent any more.")
def worker(threads: int | None, parent: int | None) -> None:
    """Bring CometChat's users in step with what the inbox holds.

    Any number of workers may run, on one machine or on many. SIGTERM lets each finish
    what it is at. One line per event goes to stdout, everything else to stderr.
    """
    if threads is not None:
        os.environ["TOKENSVC_WORKER__THREADS"] = str(threads)
    settings = settings_or_exit()
    try:
        demand_database(settings)
    except StorageUnavailableError as error:
        click.echo(f"warning: the database cannot be asked: {error.reason}", err=True)
    working = create_worker(settings)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: working.stop())
    has_ended = working.run(
        is_orphaned=lambda: parent is not None and os.getppid() != parent, grace_s=DRAIN_S
    )
    if not has_ended:
        # Its threads are daemons; the interpreter would still wait for what they hold.
        sys.stdout.flush()
        os._exit(NOT_FINISHED)
