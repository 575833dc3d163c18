"""The page of requirements: none is missing, none is invented, and the page is current."""

from tests.security.asvs import PAGE, ROOT, page, requirements, shown

SELECTED = """
1.2.2 1.2.4 1.3.6 1.5.3 2.1.1 2.1.3 2.2.1 2.2.2 2.3.3 2.4.1 4.1.1-5 4.2.1 4.2.5
7.2.1 7.4.1 7.4.2 7.4.5 8.2.1-3 8.3.1 8.3.2 8.4.1 8.4.2 9.1.1-3 9.2.1-4 10.3.1 10.3.3 10.3.5
11.1.1 11.1.2 11.2.1-5 11.4.1 11.5.1 12.1.1 12.2.1 12.3.1 12.3.2
13.1.1-3 13.2.1-6 13.3.1 13.3.2 13.3.4 13.4.1 13.4.2 13.4.4-6 14.2.1 14.2.2 14.2.4 14.2.6 14.2.7
15.1.2 15.2.1 15.2.2 15.3.1-5 15.3.7 15.4.1-4 16.1.1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-4
"""
"""What applies to a backend that verifies tokens and issues others; a-b is a range."""


def selected() -> list[str]:
    ids = []
    for word in SELECTED.split():
        first, _, last = word.partition("-")
        section, _, number = first.rpartition(".")
        ids += [f"{section}.{n}" for n in range(int(number), int(last or number) + 1)]
    return ids


def test_every_selected_requirement_is_there() -> None:
    """The table holds what was selected: no id is missing, none was added, none is there twice."""
    assert [requirement.id for requirement in requirements()] == selected()


def test_every_requirement_is_shown_or_says_why_not() -> None:
    """An id without a test needs a reason, and an id with a reason has no test."""
    tested = {test.id for test in shown()}
    excused = {one.id for one in requirements() if one.not_applicable}

    assert tested & excused == set()
    assert tested | excused == set(selected())


def test_every_test_says_what_it_shows() -> None:
    """Each test is named after a requirement, stands in its chapter, and has a docstring."""
    for test in shown():
        assert test.id in selected(), test.name
        assert test.file.name.startswith(f"test_asvs_v{test.id.partition('.')[0]}_"), test.name
        assert test.promise.endswith("."), test.name


def test_page_is_current() -> None:
    """docs/asvs.md is what `make docs` would write now."""
    assert PAGE.read_text() == page() + "\n"


def test_operators_part_is_told_in_the_readme() -> None:
    """Whoever runs the service finds each of their duties in the README, word for word."""
    readme = " ".join((ROOT / "README.md").read_text().split())

    assert [one.operator for one in requirements() if one.operator not in readme] == []
