"""The API document as JSON, and as a page that loads nothing from anywhere."""

import base64
import hashlib
from typing import Any, Final

from flask import Blueprint, Flask, current_app, render_template_string
from flask.typing import ResponseReturnValue

from tokensvc.web.openapi import Operation, api_document, documented

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin: 2rem 0 .25rem; font-size: 1.1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid #8886; padding: .4rem .75rem .4rem 0; vertical-align: top; }
td + td { overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; }
"""
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ spec.info.title }} {{ spec.info.version }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ spec.info.title }} {{ spec.info.version }}</h1>
<p>{{ spec.info.description }} The whole document: <a href="openapi.json">openapi.json</a>.</p>
{% for path, operations in spec.paths.items() %}{% for method, operation in operations.items() %}
<h2><code>{{ method | upper }} {{ path }}</code></h2>
<p>{{ operation.summary }} {{ operation.description }}
{% if operation.security %}Needs <code>Authorization: Bearer</code> and a session token.
{% endif %}</p>
<table>
{% for status, response in operation.responses.items() %}
<tr><td>{{ status }}</td><td>{{ response.description }}
{% for name, header in (response.headers or {}).items() %}<br><code>{{ name }}</code>
{{ header.description }}{% endfor %}</td></tr>
{% endfor %}
</table>
{% endfor %}{% endfor %}
</body>
</html>
"""


def _content_security_policy() -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def documentation_blueprint() -> Blueprint:
    """Return the routes that describe all others."""
    documentation = Blueprint("documentation", __name__)

    @documentation.get("/openapi.json")
    @documented(Operation(answer={"type": "object"}))
    def openapi_json() -> ResponseReturnValue:
        """Describe the API as an OpenAPI document."""
        return api_document(_app())

    @documentation.get("/docs")
    @documented(Operation(answer={"type": "string"}, media_type="text/html"))
    def docs() -> ResponseReturnValue:
        """Show the API document as a page."""
        page = render_template_string(PAGE, spec=api_document(_app()), style=STYLE)
        return page, 200, {"Content-Security-Policy": _content_security_policy()}

    return documentation


def _app() -> Flask:
    app: Any = current_app
    found: Flask = app._get_current_object()  # noqa: SLF001 (the document is of the app itself)
    return found
