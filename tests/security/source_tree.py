"""The source tree, as a test reads it: what is imported where, and what is called."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "tokensvc"
SERVICE: Final = sorted(
    path for path in PACKAGE.rglob("*.py") if "emulator" not in path.relative_to(PACKAGE).parts
)
"""What runs in production: the emulator is a server of its own, to develop against."""


def room(path: Path) -> str:
    """Return how a module is called: its path inside the package."""
    return str(path.relative_to(PACKAGE))


def nodes(path: Path) -> Iterator[ast.AST]:
    """Yield everything that stands in a module."""
    return ast.walk(ast.parse(path.read_text()))


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a module imports (or imports from)."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def attributes_of(name: str) -> set[str]:
    """Return which attributes of the module called *name* the service uses: `hashlib.sha256`."""
    return {
        node.attr
        for path in SERVICE
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }
