"""CometChat hangs for 30 seconds under 200 clients: what they, and health probes, see of it.

Run: PYTHONPATH=. .venv/bin/python benchmarks/vendor_hang.py
"""

import tempfile
from pathlib import Path

from tests.builders import API_KEY, APP_ID
from tests.faults.storm import Seen, breaker_opened_after_s, storm_over
from tests.processes import serving
from tokensvc.emulator import EmulatorServer, Switches

CLIENTS = 200
HANG_S = 30.0
UNLIMITED = {"TOKENSVC_LIMITS__PER_USER": "1000000 per minute"}


def milliseconds(answers: list[Seen], part: float) -> float:
    """Return the time below which *part* of *answers* were there."""
    times = sorted(seen.took_s for seen in answers)
    return times[min(int(len(times) * part), len(times) - 1)] * 1000


def main() -> None:
    """Print what happened."""
    switches = Switches(core_per_minute=1_000_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator,
        serving(Path(folder), vendor_url=emulator.url, **UNLIMITED) as process,
    ):
        storm = storm_over(process, emulator, clients=CLIENTS, hang_s=HANG_S)
        opened_after_s = breaker_opened_after_s(process, storm)
    in_time = [probe for probe in storm.probes if probe.status == 200 and probe.took_s < 0.1]  # noqa: PLR2004
    print(f"probes under 100 ms: {len(in_time)} of {len(storm.probes)}", end="; ")
    print(f"slowest {milliseconds(storm.probes, 1.0):.0f} ms")
    print(f"breaker open after {opened_after_s:.1f} s")
    refused = [
        seen
        for seen in storm.logins_in(storm.hang_from + opened_after_s + 0.5, storm.hang_until)
        if seen.status == 503  # noqa: PLR2004
    ]
    print(f"logins refused while it was open: {len(refused)}", end="; ")
    print(f"p50 {milliseconds(refused, 0.5):.0f} ms, p99 {milliseconds(refused, 0.99):.0f} ms")
    print(f"without Retry-After: {sum(seen.retry_after_s is None for seen in refused)}")
    print(f"last refusal {storm.recovered_after_s():.1f} s after the end of the hang")
    print(
        f"answers in all: {len(storm.logins)}, statuses {sorted({s.status for s in storm.logins})}"
    )


if __name__ == "__main__":
    main()
