"""Modes that a degradation couples, in small blocks."""
