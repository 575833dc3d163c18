"""The settings as commands need them: loaded, or their faults told and the command ended."""

import os
import sys

import click

from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError, load_settings

BAD_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h."""


def settings_or_exit(exit_code: int = BAD_CONFIGURATION) -> Settings:
    """Return the settings, or end the process with every fault named."""
    try:
        return load_settings(os.environ)
    except ConfigurationError as error:
        _tell(error)
        sys.exit(exit_code)


def _tell(error: ConfigurationError) -> None:
    count = len(error.faults)
    click.echo(f"tokensvc cannot start: {count} fault{'s' * (count > 1)} in the settings", err=True)
    for fault in error.faults:
        click.echo(f"  {fault}", err=True)
