"""CPU quotas: how much of the cores' time a container or a service may have, on Linux."""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tokensvc.cli.cores import usable_cores


def default_workers() -> int:
    """Return one process for each core's worth of time that we may have."""
    return math.ceil(min(len(usable_cores()), cpu_quota()))


def cpu_quota(system: Path = Path("/")) -> float:
    """Return how many cores' time the control groups leave to this process; inf without a limit.

    A container's CPU limit is one of these (cgroups(7)), and no affinity tells of it: a process
    for each core of the machine would be throttled, and each takes its memory. Reads version 2
    (`cpu.max`) and version 1 (`cpu.cfs_quota_us`) below *system*.
    """
    quotas = [math.inf]
    with suppress(OSError):
        for line in (system / "proc/self/cgroup").read_text().splitlines():
            _, controllers, own = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                mounted = system / "sys/fs/cgroup" / ("cpu" if controllers else "")
                quotas += map(_quota_of, _groups_above(mounted, own))
    return min(quotas)


def _groups_above(mounted: Path, own: str) -> Iterator[Path]:
    """Yield the group and all those around it: what the outermost allows, they share.

    In a container the path may be the host's; then its root is all that is there.
    """
    group = mounted / own.lstrip("/")
    while group.is_relative_to(mounted):
        yield group
        group = group.parent


def _quota_of(group: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return _cores(quota, period)
    with suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text().strip()
        return _cores(quota, (group / "cpu.cfs_period_us").read_text())
    return math.inf


def _cores(quota_us: str, period_us: str) -> float:
    """Return a quota in cores; no limit is called `max`, and -1 before."""
    return math.inf if quota_us in {"max", "-1"} else int(quota_us) / int(period_us)
