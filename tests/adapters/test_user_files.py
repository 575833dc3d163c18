"""User files: whatever is in the bytes, there is a row or a fault with its line."""

import io
import json
import os
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.adapters.csv_rows import NO_HEADING, armed, disarmed
from tokensvc.adapters.file_rows import MAX_ROW_BYTES, FileRow, UserFileError
from tokensvc.adapters.json_rows import NO_ARRAY
from tokensvc.adapters.user_files import FORMATS, heading_of, seekable, user_rows


def rows(content: bytes, file_format: str = "csv") -> list[FileRow]:
    """Return the rows of a file that can be read to its end."""
    return [*user_rows(io.BytesIO(content), file_format)]


def fault(content: bytes, file_format: str = "csv") -> tuple[int, str]:
    """Return where a file cannot be read further, and why."""
    with pytest.raises(UserFileError) as caught:
        rows(content, file_format)
    return caught.value.line, caught.value.reason


def test_csv() -> None:
    """A row has its line, its cells by the heading's names, and its bytes."""
    found = rows(b'uid,name\r\nalice,"Doe, ""Al"""\r\n\r\n,\r\nbob,Bob')

    assert [(row.line, row.fields) for row in found] == [
        (2, {"uid": "alice", "name": 'Doe, "Al"'}),
        (5, {"uid": "bob", "name": "Bob"}),
    ]
    assert found[0].raw == b'alice,"Doe, ""Al"""\r\n'


def test_csv_of_several_lines() -> None:
    """A cell may hold line ends; the row is named by its first line."""
    found = rows(b'uid,name\na,"x\ny"\nb,z\n')

    assert [(row.line, row.fields["name"]) for row in found] == [(2, "x\ny"), (4, "z")]


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_delimiters(delimiter: bytes) -> None:
    """Spreadsheets of half the world write semicolons."""
    found = rows(b"uid@name\na@A\n".replace(b"@", delimiter))

    assert found[0].fields == {"uid": "a", "name": "A"}


def test_byte_order_mark() -> None:
    """Spreadsheets write one into CSV; in JSON there is none."""
    assert rows(b"\xef\xbb\xbfuid\nalice\n")[0].fields == {"uid": "alice"}
    assert "byte order mark" in fault(b'\xef\xbb\xbf{"uid": "a"}', "jsonl")[1]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16(file_format: str, encoding: str) -> None:
    """With its mark it is told what to do; without one its NULs are named."""
    mark = "\ufeff" if encoding != "utf-16" else ""
    content = (mark + "uid\nalice\n").encode(encoding)

    assert fault(content, file_format) == (1, "the file is UTF-16; save it as UTF-8")
    assert fault("uid\n".encode("utf-16-le"))[1] == "the row holds a NUL character"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff,x", "the row is not UTF-8"),
        (b"a\0,x", "the row holds a NUL character"),
        (b"a", "the row has 1 cells, and the heading 2"),
        (b"a,b,c", "the row has 3 cells, and the heading 2"),
        (b'"a"x,b', "the row is not well-formed CSV: look at its quotation marks and line ends"),
        (b"a\rb,c", "the row is not well-formed CSV: look at its quotation marks and line ends"),
    ],
)
def test_one_bad_row(line: bytes, reason: str) -> None:
    """It is named by its line, and the next one is read."""
    found = rows(b"uid,name\n" + line + b"\nbob,Bob\n")

    assert [(row.line, row.fault) for row in found] == [(2, reason), (3, "")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            b'{"uid": a}',
            "the row is no JSON object, or one that two readers could read differently",
        ),
        (b"[1]", "the row is no JSON object, or one that two readers could read differently"),
        (
            b'{"uid": "a", "uid": "b"}',
            "the row is no JSON object, or one that two readers could read differently",
        ),
        (b'{"uid": "\xff"}', "the row is not UTF-8"),
        (b'{"uid": "\0"}', "the row holds a NUL character"),
    ],
)
@pytest.mark.parametrize("file_format", ["jsonl", "json"])
def test_one_bad_object(line: bytes, reason: str, file_format: str) -> None:
    """The same in JSON, unless the array itself cannot be told apart any more."""
    good = b'{"uid": "bob"}'
    content = line + b"\n" + good if file_format == "jsonl" else b"[" + line + b",\n" + good + b"]"

    found = rows(content, file_format)

    assert [(row.line, row.fault) for row in found] == [(1, reason), (2, "")]


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        (b"uid,name,uid\n", 1, "columns 1 and 3 have the same name"),
        (b'uid\n"a\n' + b"x\n" * MAX_ROW_BYTES, 2, "is a quotation mark not closed?"),
        (b"uid\n" + b"x" * (MAX_ROW_BYTES + 1), 2, "the row is longer than 65,536 bytes"),
    ],
)
def test_csv_that_cannot_be_read_further(content: bytes, line: int, part: str) -> None:
    """A row without an end is named, and not read into memory."""
    found_line, reason = fault(content)

    assert (found_line, part in reason) == (line, True)


def test_unclosed_quotation_mark_at_the_end() -> None:
    """The last row may lack its quotation mark; it is named as well."""
    assert [(row.line, bool(row.fault)) for row in rows(b'uid\na\n"b\nc\n')] == [
        (2, False),
        (3, True),
    ]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b" ", 1, NO_ARRAY),
        (b'{"uid": "a"}', 1, NO_ARRAY),
        (b'\n\n"a"', 3, NO_ARRAY),
        (b'[{"uid": "a"},\n', 2, "the file ends before its array does"),
        (b'[{"uid": "a"}]\n{', 2, "there is something after the array"),
        (b"[] x", 1, "there is something after the array"),
        (b'[\n{"uid": "' + b"x" * MAX_ROW_BYTES, 2, "the row is longer than 65,536 bytes"),
    ],
)
def test_arrays_that_cannot_be_read_further(content: bytes, line: int, reason: str) -> None:
    """What is no array, or none to its end, is said."""
    assert fault(content, "json") == (line, reason)


@pytest.mark.parametrize(("content", "count"), [(b"[]", 0), (b" [ ] \n", 0), (b"[{},]", 2)])
def test_empty_elements(content: bytes, count: int) -> None:
    """An empty array has no rows; a comma too many makes one that is bad."""
    assert len(rows(content, "json")) == count


@pytest.mark.parametrize(
    ("content", "file_format", "reason"),
    [(b"", "csv", NO_HEADING), (b"\nuid\n", "csv", NO_HEADING), (b"", "json", NO_ARRAY)],
)
def test_nothing_at_all(content: bytes, file_format: str, reason: str) -> None:
    """A file of no bytes was cut off on its way: it is no list of nobody."""
    assert fault(content, file_format) == (1, reason)


@pytest.mark.parametrize(
    ("content", "file_format"), [(b"uid\n", "csv"), (b"[]", "json"), (b"", "jsonl")]
)
def test_list_of_nobody(content: bytes, file_format: str) -> None:
    """A heading alone is a list, and an array of nothing, and no line of JSON."""
    assert rows(content, file_format) == []


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(
    st.lists(st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=3)), max_size=20), st.data()
)
def test_array_is_taken_apart_as_json_is(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Whatever is in the objects: they come out as the parser of the whole would read them."""
    content = json.dumps(objects, indent=data.draw(st.sampled_from([None, 1]))).encode()

    found = rows(content, "json")

    assert [row.fields for row in found] == objects
    assert all(content.splitlines()[row.line - 1].lstrip(b" [").startswith(b"{") for row in found)


def test_array_across_chunks() -> None:
    """Where one read ends and the next begins makes no difference, in an escape neither."""
    objects = [{"uid": f"u{number}", "name": '\\"[{,' * number} for number in range(700)]

    assert [row.fields for row in rows(json.dumps(objects).encode(), "json")] == objects


@given(st.binary(max_size=400) | st.text('",;\r\n\0{}[]\\a\ufeff').map(str.encode))
@example(b'\xef\xbb\xbf"')
@example(b'[{"a":"\\')
def test_any_bytes(content: bytes) -> None:
    """There are rows, each with its line, and perhaps an end with its line: nothing else."""
    for file_format in FORMATS:
        lines = []
        try:
            for row in user_rows(io.BytesIO(content), file_format):
                lines.append(row.line)
                assert row.fields or row.fault or row.raw.strip() == b"{}" or file_format == "csv"
        except UserFileError as error:
            lines.append(error.line if error.reason else 0)

        assert lines == sorted(lines)
        assert all(1 <= line <= content.count(b"\n") + 1 for line in lines)


@given(st.text())
def test_formulas(cell: str) -> None:
    """No cell goes out as a formula, and each comes back as it was."""
    written = disarmed(cell)

    assert armed(written) == cell
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_heading() -> None:
    """A part of a file begins with the same heading, mark and all left aside."""
    assert heading_of(io.BytesIO(b"\xef\xbb\xbfuid,name\r\na,b\r\n"), "csv") == b"uid,name\r\n"
    assert heading_of(io.BytesIO(b"[]"), "json") == b""


def test_stream_that_is_read_once() -> None:
    """A pipe is read twice all the same, from a copy on disk."""
    reading, writing = os.pipe()
    os.write(writing, b"uid\nalice\n")
    os.close(writing)

    with os.fdopen(reading, "rb") as pipe, seekable(pipe) as stream:
        twice = [[row.fields for row in user_rows(stream, "csv")] for _ in range(2)]

    assert twice == [[{"uid": "alice"}]] * 2
