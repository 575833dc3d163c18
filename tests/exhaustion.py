"""A process that can have no more threads, as one at its limit of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MORE_THAN_THERE_IS: int = 1 << 46
"""The size of a stack for which there is no room: the start fails as it does at the limit."""


@contextmanager
def no_threads() -> Iterator[None]:
    """Let no thread start until the block ends."""
    usual = threading.stack_size(MORE_THAN_THERE_IS)
    try:
        yield
    finally:
        threading.stack_size(usual)
