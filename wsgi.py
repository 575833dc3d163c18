"""The door for WSGI servers: `gunicorn wsgi:application`."""

from tokensvc.app import create_app
from tokensvc.cli.loading import demand_storage, settings_or_exit

APP_LOAD_ERROR = 4
"""What makes gunicorn give up, where any other code lets it start the worker again for ever."""

settings = settings_or_exit(APP_LOAD_ERROR)
demand_storage(settings, APP_LOAD_ERROR)
application = create_app(settings)
