"""Each web process on a core of its own."""

import errno
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.fakes import Notices
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tokensvc.cli.cores import Cores, usable_cores

SOON_S = 20.0
ALL = set(usable_cores())

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="needs two cores: run it where there are")


class Child:
    """A forked process that asks for a core, and goes on until it is told to end."""

    def __init__(self, cores: Cores) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=self._run, args=(cores, theirs))
        self.process.start()
        self.at_first = self.ask()

    @staticmethod
    def _run(cores: Cores, pipe: Connection) -> None:
        cores.take_soon(Notices())
        while pipe.recv():
            pipe.send(os.sched_getaffinity(0))

    def ask(self) -> set[int]:
        """Return the cores that it may use."""
        self._pipe.send("which?")
        found: set[int] = self._pipe.recv()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@pytest.fixture
def cores() -> Iterator[Cores]:
    """Return what hands out the cores, to as many as there are."""
    with closing(Cores(len(ALL))) as made:
        yield made


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Return where a test puts its children, which end with it."""
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()


def test_each_process_has_a_core(cores: Cores, children: list[Child]) -> None:
    """As many as there are cores get one each, and the parent keeps all."""
    children += [Child(cores) for _ in ALL]

    assert sorted(core for child in children for core in child.at_first) == sorted(ALL)
    assert os.sched_getaffinity(0) == ALL


def test_core_of_a_killed_process_is_taken(cores: Cores, children: list[Child]) -> None:
    """One that finds none may use all, and takes the first that becomes free."""
    children += [Child(cores) for _ in ALL]
    late = Child(cores)
    children.append(late)

    children[0].kill()
    deadline = time.monotonic() + SOON_S
    while late.ask() == ALL and time.monotonic() < deadline:
        time.sleep(0.05)

    assert late.at_first == ALL
    assert late.ask() == children[0].at_first


def test_few_processes_may_use_all(children: list[Child]) -> None:
    """With fewer processes than cores nobody is kept to one."""
    with closing(Cores(len(ALL) - 1)) as few:
        children.append(Child(few))

    assert children[0].at_first == ALL


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ENOSYS])
def test_core_is_kept_where_turns_cannot_be_changed(
    cores: Cores, children: list[Child], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A sandbox or a C library may know no policies, and yet the one core."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setscheduler", refused)

    children.append(Child(cores))

    assert len(children[0].at_first) == 1


def test_a_policy_that_was_chosen_stays(
    cores: Cores, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the service under one of their own has a reason."""
    changed = multiprocessing.get_context("fork").Value("i", 0)

    def change(*_: object) -> None:
        changed.value += 1

    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_IDLE)
    monkeypatch.setattr(os, "sched_setscheduler", change)

    children.append(Child(cores))

    assert (len(children[0].at_first), changed.value) == (1, 0)


def test_a_process_that_may_take_no_core_goes_on(
    cores: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox that forbids it costs speed, and no start."""

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EPERM, "forbidden")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    notices = Notices()

    cores.take_soon(notices)

    (notice,) = notices.events
    assert (notice.name, notice.facts) == ("worker_not_pinned", {"reason": "EPERM"})
    assert os.sched_getaffinity(0) == ALL


def places(process: Process) -> list[tuple[set[int], set[int]]]:
    """Return the cores and the scheduling policies of each thread group below the server."""
    pid = process.popen.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    groups = [
        [int(thread.name) for thread in Path(f"/proc/{child}/task").iterdir()] for child in children
    ]
    return [
        (
            {core for thread in group for core in os.sched_getaffinity(thread)},
            {os.sched_getscheduler(thread) for thread in group},
        )
        for group in groups
        if len(group) > 1
    ]


@pytest.mark.parametrize("is_pinned", [True, False])
def test_server_keeps_each_worker_to_a_core(tmp_path: Path, is_pinned: bool) -> None:  # noqa: FBT001
    """With all of its threads, none of which interrupts another; or all as the system likes."""
    chosen = {
        "TOKENSVC_SERVER__WORKERS": "0",
        "TOKENSVC_SERVER__PIN_WORKERS": str(is_pinned).lower(),
    }
    with (
        raw_server(an_answer(b"{}")) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **chosen) as process,
    ):
        deadline = time.monotonic() + SOON_S
        while len(places(process)) < len(ALL) and time.monotonic() < deadline:
            time.sleep(0.05)
        found = places(process)

    pinned = [({core}, {os.SCHED_BATCH}) for core in sorted(ALL)]
    free = [(ALL, {os.SCHED_OTHER})] * len(ALL)
    assert sorted(found, key=lambda place: min(place[0])) == (pinned if is_pinned else free)
