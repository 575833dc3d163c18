"""Senders: who sends webhooks, one file for each; `registry.py` names them all."""
