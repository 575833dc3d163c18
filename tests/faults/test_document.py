"""The faults document is written from the tests, and is up to date."""

from tests.faults.document import DOCUMENT, all_rows, document


def test_document_is_current() -> None:
    """What stands there is what the tests show; `make docs` writes it anew."""
    assert DOCUMENT.read_text(encoding="utf-8") == document(all_rows())


def test_rows_are_told_apart() -> None:
    """No fault of a neighbour stands there twice."""
    rows = [(row.neighbour, row.fault) for row in all_rows()]

    assert len(set(rows)) == len(rows) > 0
