"""What the log says of deliveries and beside the requests is explained, and nothing else is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tokensvc"
PAGE = ROOT / "docs/sync.md"
UNDERSTANDS = ("adapters/senders/*.py", "domain/receiving.py", "domain/uids.py")
OF_TIMES = {"{name}_malformed": ("exp", "nbf", "iat"), "{name}_in_future": ("nbf", "iat")}


def raised(error: str, *places: str) -> set[str]:
    """Return the reasons that are given to *error* in files of the package."""
    texts = [file.read_text() for place in places for file in SOURCE.glob(place)]
    found = re.compile(rf"\b{error}\((?:reason=)?f?\"([a-z_A-Z{{}}]+)\"")
    reasons = {reason for text in texts for reason in found.findall(text)}
    for pattern, names in OF_TIMES.items():
        if pattern in reasons:
            reasons = reasons - {pattern} | {pattern.format(name=name) for name in names}
    return reasons


def explained(heading: str) -> set[str]:
    """Return the reasons in the first column of the table behind *heading*."""
    _, _, rest = PAGE.read_text().partition(heading)
    rows = re.findall(r"^\| (.*?) \|", rest.partition("\n\n")[2].split("\n\n")[0], re.MULTILINE)
    return {reason for row in rows for reason in re.findall(r"`([a-z_A-Z]+)`", row)}


def test_every_refusal_is_explained() -> None:
    """Each reason that a delivery can be refused for has its row, and no row is of another."""
    refusals = raised("DeliveryRefusedError", "adapters/signatures/*.py")
    refusals |= raised("SessionError", "adapters/jws.py")
    conflicts = raised("DeliveryConflictError", "adapters/inbox_work.py")

    assert explained("if it was refused with 401:") == refusals | conflicts


def test_everything_that_makes_no_sense_is_explained() -> None:
    """The same of events, whose members are too many to be named."""
    reasons = raised("NotUnderstoodError", *UNDERSTANDS) | raised(
        "UidNotAllowedError", *UNDERSTANDS
    )
    rows = explained("`event_not_understood`, with one of these:")

    assert reasons <= rows
    assert {row for row in rows - reasons if not row.endswith("_malformed")} == set()


def test_every_event_beside_the_requests_is_explained() -> None:
    """Whatever is told beside the requests has its place in the page for operators."""
    texts = [file.read_text() for file in SOURCE.rglob("*.py")]
    names = {name for text in texts for name in re.findall(r'OperationalEvent\(\s*"(\w+)"', text)}
    page = (ROOT / "docs/operations.md").read_text()

    assert len(names) > 20
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
