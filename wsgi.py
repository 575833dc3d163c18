"""The door for WSGI servers: `gunicorn wsgi:application`."""

import click

from tokensvc.app import create_app
from tokensvc.cli.config import warnings_about
from tokensvc.cli.giving_up import giving_up_once
from tokensvc.cli.loading import demand_storage, settings_or_exit

with giving_up_once():
    settings = settings_or_exit()
    for warning in warnings_about(settings):
        click.echo(f"warning: {warning}", err=True)
    demand_storage(settings)
application = create_app(settings)
