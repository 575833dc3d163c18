"""A process of the service's soak: the command `tokensvc`, forked from one that has loaded it.

    main(FOLDER, ENVIRONMENT, WORD...)

FOLDER takes what it prints, ENVIRONMENT is a JSON object of variables.
"""

import json
import os
from pathlib import Path

import psycopg  # noqa: F401 (loaded before the fork, so that lives are spent on work)

import tokensvc.cli

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main(folder: str, environment: str, *words: str) -> None:
    """Be `tokensvc WORD...`, in a group with every process that it starts."""
    os.setpgrp()
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(folder) / name, FLAGS, 0o600), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(json.loads(environment))
    # Whoever ends by itself exits here, with its exit code.
    tokensvc.cli.main(words)
