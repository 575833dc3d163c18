"""The door for WSGI servers: `gunicorn wsgi:application`."""

from tokensvc.app import create_app

application = create_app()
