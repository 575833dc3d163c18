"""Benchmarks: they time nothing here, but what is no right answer must not count as speed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.bench import Bench, Plan, a_bench
from benchmarks.goals import Goal, at_least, of
from benchmarks.notebook import OWN, OWN_ON_REDIS, Notebook
from benchmarks.plot import plotted
from benchmarks.processes import NoAnswerError, Process
from benchmarks.report import write, written
from benchmarks.run import arguments
from benchmarks.scenarios import SCENARIOS, checkouts, side_by_side
from benchmarks.servers import ROOT, Server, tokensvc
from benchmarks.users import Ask, auth_token, fault_in, forgeries, logins
from tests.processes import command

PLAN = Plan(seconds=0.5, rounds=1, warm_s=0.2, settle_s=0.0)


def an_answer(uid: str, token: str | None) -> bytes:
    """Return the body of an answer to a login."""
    return json.dumps({"uid": uid, "authToken": token}).encode()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with a_bench(PLAN, tmp_path_factory.mktemp("bench"), speaks_tls=True) as bench:
        yield bench


@pytest.fixture(scope="module")
def server(bench: Bench) -> Server:
    return tokensvc(
        bench.folder, command=command(), PYTHONPATH=str(ROOT), TOKENSVC_SERVER__WORKERS="1"
    )


@pytest.fixture(scope="module")
def process(bench: Bench, server: Server) -> Iterator[Process]:
    with bench.running(server) as process:
        yield process


def test_right_answers(bench: Bench, process: Process) -> None:
    """The service is given work, all of it is done, and that costs something."""
    tally, figures = bench.closed_loop(process, connections=8)

    assert tally.good_s
    assert not tally.errors
    assert figures["errors"] == 0
    assert figures["cpu_us"] > 0
    assert figures["p50_ms"] >= 20


def test_refused_tokens(bench: Bench, process: Process) -> None:
    """A forged session token's right answer is 401."""
    tally, figures = bench.closed_loop(process, forgeries(10), connections=8)

    assert tally.good_s
    assert figures["errors"] == 0


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [("token", "a token of another user"), ("old", "a token handed out before"), ("uid", None)],
)
def test_wrong_answers(bench: Bench, process: Process, wrong: str, fault: str | None) -> None:
    """A vendor that answers wrongly makes errors, and no speed."""
    bench.vendor.behaves(wrong=wrong)

    tally, figures = bench.closed_loop(process, logins(users := 3), connections=8)

    bench.vendor.behaves(wrong="")
    assert figures["errors"] > users
    assert set(tally.errors) == ({fault} if fault else set())
    assert len(tally.good_s) <= users  # the first token of each is not old yet


def test_peers_that_do_not_answer(bench: Bench, server: Server) -> None:
    """A peer that ends at once, or is not there, is left out; tokensvc itself must answer."""
    ends, is_not_there = Server("one", (sys.executable, "-c", "")), Server("other", ("/nowhere",))
    bench = replace(bench, notes=Notebook(), plan=replace(PLAN, rounds=2))

    side_by_side(bench, [server], [ends, is_not_there])

    left_out = "was left out from round 1 on: it does not answer."
    assert bench.notes.remarks == [f"one {left_out}", f"other {left_out}"]
    assert len(bench.notes.figures[OWN]["per_s"]) == 2
    with pytest.raises(NoAnswerError):
        side_by_side(bench, [ends])


@pytest.mark.usefixtures("server")  # which has made the database
def test_another_checkout(bench: Bench, tmp_path: Path) -> None:
    """A checkout that is put beside this one runs on the limiters that this one runs on."""
    servers = checkouts(replace(bench, plan=replace(PLAN, beside=tmp_path)))

    of = {server.name: server for server in servers}
    assert list(of) == [OWN, OWN_ON_REDIS, f"{OWN}, beside", f"{OWN_ON_REDIS}, beside"]
    for name in (OWN, OWN_ON_REDIS):
        assert of[f"{name}, beside"].environ == of[name].environ
        assert of[f"{name}, beside"].words[0].startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (an_answer("alice", auth_token("alice", 2)), None),
        (an_answer("alice", auth_token("alice", 1)), "handed out before"),
        (an_answer("alice", auth_token("bob", 3)), "of another user"),
        (an_answer("bob", auth_token("bob", 3)), "another uid"),
        (an_answer("alice", None), "of another user"),
        (b"[]", "no object"),
        (b"<html>", "no JSON"),
    ],
)
def test_answers_are_looked_at(body: bytes, fault: str | None) -> None:
    """Only a new token of the user who asked is a right answer."""
    found = fault_in(Ask(b"", "alice"), body, {auth_token("alice", 1)})

    assert (found is None) if fault is None else (found is not None and fault in found)


def test_goals_that_are_not_reached() -> None:
    """The report says of each goal whether it was reached, from above or from below."""
    notes = Notebook()
    notes.note(OWN, cpu_us=700, per_s=1_000)

    cost = Goal("cost", of("cpu_us"), 750, 500, " µs").row(notes)
    speed = at_least("speed", of("per_s"), 2_000).row(notes)

    assert cost == "| cost | **700 µs** | ≤ 750 µs | yes | ≤ 500 µs | **no** |"
    assert speed == "| speed | **1,000** | ≥ 2,000 | **no** |  |  |"
    assert at_least("another", of("other"), 1).row(notes) is None


def test_report() -> None:
    """The page has the goals and the servers, and names no folder of the machine."""
    notes = Notebook()
    for name, cpu_us in (("<peer>", 2_000.0), (OWN, 500.0)):
        notes.note(name, cpu_us=cpu_us, per_s=1_000)

    page = written(notes, PLAN, ["machine: 2 cores"], speaks_tls=True, has_plot=True)

    assert "| CPU per login, memory limiter | **500 µs** | ≤ 750 µs | yes |" in page
    assert "| 4.00x |" in page
    assert str(Path.home()) not in page
    assert sys.prefix not in page
    assert "&lt;peer&gt;" in (plotted(notes) or "")


def test_a_report_of_a_part() -> None:
    """The page explains what was measured alone, and shows no plot that is not written."""
    hang, cost, whole = Notebook(), Notebook(), Notebook()
    for notes in (hang, whole):
        notes.note(OWN, probes_answered=50)
    for notes in (cost, whole):
        notes.note(OWN, cpu_us=500)
    whole.note("tutorial Flask", cpu_us=5_000)
    whole.note(OWN, storm_per_s=2_000)

    of_hang, of_cost, of_all = (
        written(notes, PLAN, [], speaks_tls=True, has_plot=notes is whole)
        for notes in (hang, cost, whole)
    )

    told = {
        "](RESULTS.svg)": {of_all},
        "One login:": {of_cost, of_all},
        '"tutorial Flask" has': {of_all},
        '"Express + undici" hands': set[str](),
        "## The rest": {of_hang, of_all},
        "While the vendor hangs": {of_hang, of_all},
        "With 256 connections": {of_all},
    }
    for text, pages in told.items():
        assert {page for page in (of_hang, of_cost, of_all) if text in page} == pages, text


def test_the_plot_on_a_telephone() -> None:
    """On a page of 375 pixels the plot's text is ten high, and no name is in front of its bar."""
    notes = Notebook()
    for name in (OWN, "tutorial Flask, token call alone"):
        notes.note(name, cpu_us=500, per_s=1_000)

    plot = ET.fromstring(plotted(notes) or "")  # noqa: S314 (our own picture)

    scale = 375 / float(plot.attrib["viewBox"].split()[2])
    sizes = [float(of.attrib["font-size"]) for of in plot.iter() if "font-size" in of.attrib]
    assert min(sizes) * scale >= 10
    svg = "{http://www.w3.org/2000/svg}"
    begins = {bar.get("x") for bar in plot.iter(f"{svg}rect") if bar.get("x")}
    assert begins == {text.get("x") for text in plot.iter(f"{svg}text") if text.text == OWN}


def test_what_is_written(tmp_path: Path) -> None:
    """A plot is written where there is something to plot, and nothing without a goal."""
    nothing, hang, whole = Notebook(), Notebook(), Notebook()
    hang.note(OWN, probes_answered=50)
    whole.note(OWN, cpu_us=500, per_s=1_000)

    assert write("page", nothing, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert write("page", hang, tmp_path) == ["RESULTS.md"]
    assert [file.name for file in tmp_path.iterdir()] == ["RESULTS.md"]
    assert write("page", whole, tmp_path) == ["RESULTS.md", "RESULTS.svg"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--rounds 0", "--rounds: 0 is less than 1"),
        ("--rounds -1", "--rounds: -1 is less than 1"),
        ("--users 0", "--users: 0 is less than 1"),
        ("--seconds 0", "--seconds: 0 s are no time to measure in"),
        ("--seconds -1", "--seconds: -1 s are no time to measure in"),
        ("--seconds nan", "--seconds: nan s are no time to measure in"),
        ("--beside /nowhere", "--beside: /nowhere has no .venv/bin/tokensvc"),
    ],
)
def test_what_cannot_be_measured(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that makes no measurement is refused before anything starts."""
    with pytest.raises(SystemExit):
        arguments(words.split())

    assert told in capsys.readouterr().err
    assert arguments(["--rounds", "1", "--seconds", "0.5"]).seconds == 0.5


A_BENCH = """
import asyncio, signal, sys, tempfile, time
from pathlib import Path
from benchmarks.bench import Plan, a_bench, run
from benchmarks.endings import end_in_order
from benchmarks.load import Load

async def ask(load):
    load.start(8)
    print("asking", flush=True)
    await asyncio.sleep(60)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whatever runs the tests ignores
    signal.signal(number, signal.SIG_DFL)
end_in_order()
with (
    tempfile.TemporaryDirectory() as folder,
    a_bench(Plan(), Path(folder), speaks_tls=False) as bench,
):
    print(folder, bench.vendor.process.pid, flush=True)
    if sys.argv[1] == "asks":
        run(ask(Load(bench.vendor.process.port, bench.asks)))
    print("waiting", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("at", ["asks", "waits"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(number: signal.Signals, at: str) -> None:
    """A bench that is told to end leaves no process and no folder behind, and no traceback."""
    with subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-c", A_BENCH, at],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        assert popen.stdout is not None
        folder, vendor = popen.stdout.readline().split()
        popen.stdout.readline()
        popen.send_signal(number)
        _, told = popen.communicate(timeout=60)

    assert popen.returncode == 128 + number
    assert told == ""
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(vendor), 0)


def test_scenarios_are_told() -> None:
    """The page on performance names everything that `make bench` can be asked for."""
    page = (ROOT / "docs/performance.md").read_text()

    assert [name for name in SCENARIOS if not re.search(rf"(`|--only ){name}[`\"]", page)] == []
