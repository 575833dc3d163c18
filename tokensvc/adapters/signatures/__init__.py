"""Signatures: how senders prove that a delivery is theirs, one scheme in each room."""
