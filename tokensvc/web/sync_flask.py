"""Flask, as it calls our functions."""

from collections.abc import Callable
from typing import Any

from flask import Flask


class SyncFlask(Flask):
    """Flask where nothing is asynchronous.

    It would look at eight functions of ours in each request for whether they are.
    """

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*, as it can be called."""
        return func
