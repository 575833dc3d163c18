"""File systems: which one a path is on, and whether SQLite can trust its locks."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
FilesystemOf = Callable[[Path], str]
"""Returns the kernel's word for the file system that a path is on; "" where it is not known."""

_OVER_A_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ncpfs|coda|ceph|glusterfs|lustre|beegfs|gpfs|ocfs2|gfs2?"
    r"|virtiofs|vboxsf|prl_fs|fuse(\..+)?"
)
"""FUSE is among them: what is behind it (sshfs, an object store) keeps no promise about locks."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def is_over_a_network(filesystem: str) -> bool:
    """Return whether other machines may write there, or locks and shared memory may not hold."""
    return _OVER_A_NETWORK.fullmatch(filesystem) is not None


def filesystem_of(path: Path, *, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system that *path* is on, or would be once it is made.

    Reads what Linux says of its mounts; elsewhere nothing is known.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        real = path.resolve()
    except OSError:
        return ""
    found = ""
    longest = -1
    for place, filesystem in filter(None, map(_mount, lines)):
        # Of two mounts on one place the later one hides the other.
        if real.is_relative_to(place) and len(place.parts) >= longest:
            longest, found = len(place.parts), filesystem
    return found


def _mount(line: str) -> tuple[Path, str] | None:
    """Return where a file system is mounted and its type (proc(5), mountinfo)."""
    before, separator, after = line.partition(" - ")
    fields, types = before.split(" "), after.split(" ")
    if not separator or len(fields) < 5:  # noqa: PLR2004 (the mount point is the fifth field)
        return None
    return Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])), types[0]
