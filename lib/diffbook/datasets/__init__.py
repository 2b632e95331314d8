"""Data sets: what ships in wheels or is synthesised here, and real sets one setting away.

Every loader returns plain arrays scaled to [-1, 1] and splits that were fixed before any result was
looked at. Nothing in this package downloads silently: see :mod:`diffbook.datasets.fetch`.
"""
