"""CPU quotas: a container that may use half a core is no place for 64 processes."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from tokensvc.cli import cpu_quota as module
from tokensvc.cli.cpu_quota import cpu_quota, default_workers

OWN = "proc/self/cgroup"
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, math.inf),
        ({OWN: "0::/"}, math.inf),
        ({OWN: "0::/", f"{V2}/cpu.max": "150000 100000\n"}, 1.5),
        ({OWN: "0::/", f"{V2}/cpu.max": "max 100000\n"}, math.inf),
        ({OWN: "0::/", f"{V2}/cpu.max": "nonsense"}, math.inf),
        ({OWN: "0::/a/b", f"{V2}/a/b/cpu.max": "max 1000", f"{V2}/a/cpu.max": "500 1000"}, 0.5),
        ({OWN: "0::/not/here", f"{V2}/cpu.max": "2000 1000"}, 2.0),
        ({OWN: "0::/../..", f"{V2}/cpu.max": "2000 1000"}, 2.0),
        (
            {
                OWN: "5:cpuset:/x\n4:cpu,cpuacct:/docker/1\n0::/",
                f"{V1}/cpu.cfs_quota_us": "50000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                OWN: "1:cpu:/",
                f"{V1}/cpu.cfs_quota_us": "-1\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
        ({OWN: "7:cpuset:/", f"{V1}/cpu.cfs_quota_us": "1"}, math.inf),
    ],
    ids=[
        *("no Linux", "no limit", "1.5 cores", "max", "nonsense", "of a group around it"),
        *("the path is the host's", "outside of the namespace"),
        *("version 1", "version 1, no limit", "another controller"),
    ],
)
def test_quota_is_read(tmp_path: Path, files: Mapping[str, str], cores: float) -> None:
    """The tightest limit of the group and of those around it, in both versions."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "processes"), [(math.inf, 4), (64.0, 4), (1.5, 2), (0.1, 1)])
def test_as_many_processes_as_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch, quota: float, processes: int
) -> None:
    """One for each core, unless the quota is less than they are."""
    monkeypatch.setattr(module, "usable_cores", lambda: range(4))
    monkeypatch.setattr(module, "cpu_quota", lambda: quota)

    assert default_workers() == processes
