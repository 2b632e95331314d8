"""Samplers as pure functions of a schedule, and their transfer functions."""
