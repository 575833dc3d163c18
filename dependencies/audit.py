"""The audit: which locked packages have a known vulnerability, as pip-audit learns it from PyPI.

Exits with 0 if none has, 1 if one has, and 2 if nobody could be asked: an audit
that did not take place has not been passed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

PASSED: Final = 0
VULNERABLE: Final = 1
NOT_ASKED: Final = 2
COMMAND: Final = (
    *("-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"),
    *("--format", "json", "--desc", "off"),
)


def main(files: Sequence[str]) -> int:
    """Audit the lock *files* and say what came of it."""
    named = [argument for file in files for argument in ("--requirement", file)]
    done = subprocess.run(  # noqa: S603 (our own interpreter and arguments)
        [sys.executable, *COMMAND, *named], capture_output=True, text=True, check=False
    )
    code, text = verdict(done.stdout)
    if not done.stdout:
        print(*done.stderr.splitlines()[-1:])
    print(text)
    return code


def verdict(report: str) -> tuple[int, str]:
    """Return the exit code and the words for pip-audit's *report*.

    A package that the service does not know is not taken for a good one: behind
    a mirror that lacks the advisories, that is every package.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return NOT_ASKED, "NOT AUDITED: the advisory service could not be asked (see above)."
    vulnerable = list(_vulnerabilities(packages))
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    lines = list(vulnerable)
    if unknown or not packages:
        lines.append(f"NOT AUDITED: {len(unknown)} of {len(packages)} packages are unknown there.")
    else:
        lines.append(f"{len(packages)} packages audited, {len(vulnerable)} vulnerabilities.")
    if vulnerable:
        return VULNERABLE, "\n".join(lines)
    return NOT_ASKED if unknown or not packages else PASSED, "\n".join(lines)


def _vulnerabilities(packages: Sequence[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for found in package.get("vulns", []):
            mended = ", ".join(found["fix_versions"]) or "no release"
            yield f"{package['name']} {package['version']}: {found['id']}, mended in {mended}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
