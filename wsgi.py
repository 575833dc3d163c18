"""The door for WSGI servers: `gunicorn wsgi:application`."""

import click

from tokensvc.app import create_app
from tokensvc.cli.config import warnings_about
from tokensvc.cli.loading import demand_storage, settings_or_exit

APP_LOAD_ERROR = 4
"""What makes gunicorn give up, where any other code lets it start the worker again for ever."""

settings = settings_or_exit(APP_LOAD_ERROR)
for warning in warnings_about(settings):
    click.echo(f"warning: {warning}", err=True)
demand_storage(settings, APP_LOAD_ERROR)
application = create_app(settings)
