"""The service under its own server: granian, threads, and room for the probes."""

import gc
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

import click
from flask import Flask
from granian import Granian
from granian import _signals as granian_signals
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.common import AbstractServer

from tokensvc.app import create_app
from tokensvc.cli.config import warnings_about
from tokensvc.cli.cores import Cores
from tokensvc.cli.cpu_quota import default_workers
from tokensvc.cli.last_good import LAST_GOOD, inherited_settings
from tokensvc.cli.loading import demand_storage, settings_or_exit
from tokensvc.cli.open_files import most_connections
from tokensvc.cli.orphaned import end_when_orphaned
from tokensvc.cli.side_process import DRAIN_S, worker_beside
from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError, load_settings

HEADER_READ_TIMEOUT_MS: Final = 10_000
MAX_HEAD_BYTES: Final = 65_536
"""What a connection may make the server keep; its own default is 400 KB, for each of them."""
DRAIN_MARGIN_S: Final = 5
GARBAGE_AT_ONCE: Final = 7_000
"""New objects before the collector looks for cycles: a login makes some hundreds, and none."""
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_ENDINGS: Final = {signal.SIGINT, signal.SIGTERM}
_pinning: Final[list[Cores]] = []
"""What the parent has for its workers, which inherit it: nothing, or their cores."""


class NotAdvice(logging.Filter):
    """Leaves out the server's advice to use fewer threads: they wait, they do not compute."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Python threads, which seems quite high" not in record.getMessage()


class NotHasty(logging.Filter):
    """Leaves out that a worker was killed where it had no time to refuse to stop.

    Two threads of the server wait for each worker's end, and whichever comes second takes
    one that has just ended for alive.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_to_end_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(("Shutting down", "Stopping old worker")):
            self._told_to_end_at = record.created
        has_refused = "after it refused to gracefully stop" in message
        return not has_refused or record.created - self._told_to_end_at >= DRAIN_S


LOG_TO_STDERR: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"advice": {"()": NotAdvice}, "haste": {"()": NotHasty}},
    "handlers": {
        "stderr": {
            "filters": ["advice", "haste"],
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"_granian": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
}
"""Stdout belongs to the audit lines."""


@click.command()
@click.option("--host", help="The address to listen on. [setting: server.host]")
@click.option("--port", type=click.IntRange(1, 65535), help="[setting: server.port]")
@click.option("--workers", type=click.IntRange(0), help="Processes; 0: one per core.")
@click.option("--threads", type=click.IntRange(2), help="Threads per process.")
@click.option("--with-worker", is_flag=True, help="Run one `tokensvc worker` beside it.")
def serve(*, with_worker: bool, **options: int | str | None) -> None:
    """Run the service.

    Serves plain HTTP: put your load balancer or ingress with TLS in front of it.
    Audit lines go to stdout, everything else to stderr; SIGTERM drains.
    """
    for name, value in options.items():
        if value is not None:
            # The worker processes read their settings for themselves.
            os.environ[f"TOKENSVC_SERVER__{name.upper()}"] = str(value)
    settings = settings_or_exit()
    for warning in warnings_about(settings):
        click.echo(f"warning: {warning}", err=True)
    demand_storage(settings)
    with ExitStack() as beside:
        if settings.http.metrics:
            beside.enter_context(_shared_metrics())
        if with_worker:
            beside.enter_context(worker_beside())
        run_server(settings)


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is being answered, and return."""
    LAST_GOOD.keep(settings)
    server = settings.server
    host = "127.0.0.1" if server.host == "localhost" else server.host
    _demand_free_port(host, server.port)
    os.register_at_fork(before=_block_endings, after_in_parent=_unblock_endings)
    granian = granian_of(settings, host)
    if server.pin_workers:
        _pinning.append(Cores(granian.workers))
    granian.on_startup(lambda: _reload_on_hangup(granian.signal_handler_reload))
    granian.on_startup(lambda: LAST_GOOD.keep_fresh(os.environ))
    _share_what_is_loaded()
    try:
        granian.serve()
    finally:
        LAST_GOOD.rest()
        while _pinning:
            _pinning.pop().close()


def granian_of(settings: Settings, host: str) -> AbstractServer[Any]:
    """Return the server that the settings ask for, as far as the machine has room for it."""
    server = settings.server
    return Granian(
        "tokensvc.cli.serve:worker_application",
        factory=True,
        address=host,
        port=server.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=server.workers or default_workers(),
        blocking_threads=server.threads,
        backlog=server.backlog,
        backpressure=most_connections(settings),
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_READ_TIMEOUT_MS, max_buffer_size=MAX_HEAD_BYTES
        ),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=drain_s(settings),
        log_dictconfig=LOG_TO_STDERR,
    )


def drain_s(settings: Settings) -> int:
    """Return how long a worker may finish its answers: longer than a login's deadline."""
    return max(DRAIN_S, math.ceil(settings.cometchat.total_timeout_s) + DRAIN_MARGIN_S)


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """Give the workers a folder of their own to count in together, for as long as they run."""
    chosen = os.environ.get(METRICS_FOLDER)
    if chosen is not None:
        if not Path(chosen).is_dir():
            raise click.ClickException(f"{METRICS_FOLDER} is no folder: {chosen}")
        yield
        return
    try:
        folder = TemporaryDirectory(prefix="tokensvc-metrics-", ignore_cleanup_errors=True)
    except OSError:
        message = f"no place for the metrics' files: set TMPDIR or {METRICS_FOLDER} to a folder"
        raise click.ClickException(message) from None
    with folder as name:
        os.environ[METRICS_FOLDER] = name
        yield


def _reload_on_hangup(reload_workers: Callable[[], None]) -> None:
    """Let SIGHUP replace the workers, one after the other, if the settings can be used.

    Workers that cannot read theirs would end as soon as they begin, and after
    them the server, which takes that for a crash loop.
    """

    def reload(_signal: int, _frame: FrameType | None) -> None:
        try:
            LAST_GOOD.keep(load_settings(os.environ))
        except ConfigurationError as error:
            for fault in error.faults:
                click.echo(f"not reloaded: {fault}", err=True)
        else:
            reload_workers()

    signal.signal(signal.SIGHUP, reload)


def _demand_free_port(host: str, port: int) -> None:
    """End the command if somebody listens there.

    The server's processes share their port, and would share it with another
    server too, so that each of the two gets a part of the requests.
    """
    try:
        _bind(host, port)
    except OSError as error:
        reason = error.strerror or "it is no address"
        raise click.ClickException(
            f"cannot listen on {host}, port {port}: {reason}; choose with --host and --port"
        ) from None


def is_free(host: str, port: int) -> bool:
    """Return whether nobody listens there."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def worker_application() -> Flask:
    """Return the application, in a worker process of the server.

    A worker inherits the parent's signal handlers, which swallow what reaches it
    before its own are set; and a terminal's Ctrl-C reaches it together with the
    parent's SIGTERM, of which it can handle one. So both are blocked across the
    fork, SIGTERM until the worker's own handlers are there, and SIGINT for good.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    # A terminal that is closed tells all processes; reloading is the parent's to do.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_handlers = granian_signals.set_sync_signals

    def set_handlers_and_listen() -> object:
        event = set_handlers()  # type: ignore[no-untyped-call]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return event

    granian_signals.set_sync_signals = set_handlers_and_listen
    settings, events = inherited_settings()
    app = create_app(settings)
    notify = app.extensions["tokensvc"].notify
    for event in events:
        notify(event)
    _collect_seldom()
    for cores in _pinning:
        cores.take_soon(notify)
    end_when_orphaned(drain_s=drain_s(settings), notify=notify)
    return app


def _share_what_is_loaded() -> None:
    """Let the collector pass over what is loaded: where it looks, it writes.

    What a process writes to, it shares no more with the one that it was forked from.
    """
    gc.collect()
    gc.freeze()


def _collect_seldom() -> None:
    """Pass over what the start has left, and look for cycles after many requests, not in each."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AT_ONCE, *gc.get_threshold()[1:])


def _block_endings() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)


def _unblock_endings() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
