"""The door for WSGI servers: `gunicorn wsgi:application`."""

from tokensvc.app import create_app
from tokensvc.cli.loading import settings_or_exit

APP_LOAD_ERROR = 4
"""What makes gunicorn give up, where any other code lets it start the worker again for ever."""

application = create_app(settings_or_exit(APP_LOAD_ERROR))
