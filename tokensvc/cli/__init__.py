"""The operator's door: one file per noun."""

import os
from pathlib import Path

import click

from tokensvc import __version__
from tokensvc.cli.commands import Commands
from tokensvc.cli.config import config
from tokensvc.cli.db import db
from tokensvc.cli.demo import demo
from tokensvc.cli.emulator import emulator
from tokensvc.cli.keys import keys
from tokensvc.cli.serve import serve
from tokensvc.cli.session_token import session_token
from tokensvc.cli.sync import sync
from tokensvc.cli.users import users
from tokensvc.cli.worker import worker
from tokensvc.settings_loading import CONFIG_NAME


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="tokensvc")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The TOML file with the settings. [env: {CONFIG_NAME}]",
)
def main(config_file: Path | None) -> None:
    """Issue CometChat auth tokens to users who are signed in to your own app.

    Settings come from a TOML file and from TOKENSVC_<SECTION>__<NAME> variables,
    which win. `tokensvc config check` tells whether they can be used.
    """
    if config_file is not None:
        # The server's worker processes read the same variable.
        os.environ[CONFIG_NAME] = str(config_file.absolute())


main.add_command(config)
main.add_command(db)
main.add_command(demo)
main.add_command(emulator)
main.add_command(keys)
main.add_command(serve)
main.add_command(session_token)
main.add_command(sync)
main.add_command(users)
main.add_command(worker)
