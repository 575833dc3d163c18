"""The edges: one file per outside system, and nothing else speaks its language."""
