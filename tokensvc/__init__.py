"""tokensvc: issues CometChat auth tokens to users who are signed in to your own app."""

__version__ = "0.1.0"
