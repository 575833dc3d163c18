"""Commands: groups of them, with help in whole sentences, and an end where a disk is full."""

import errno
import os
import sys
from typing import Any, Final

import click

NOT_WRITTEN: Final = 2
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LONGEST: Final = 1000


class Commands(click.Group):
    """A group of commands."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's)
        """Run the command; a disk without room for what it prints is a sentence."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            click.echo(f"a file cannot be read or written: {error.strerror}", err=True)
            sys.exit(NOT_WRITTEN)
        finally:
            _forget_what_cannot_be_written()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, in a sentence that is wrapped and not cut."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(LONGEST)) for name, command in commands]
            )


def _forget_what_cannot_be_written() -> None:
    """Keep the interpreter from a second try, which would change the exit code to 120."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return  # Click knows about readers who leave.
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
