"""Noise schedules as arrays, their laws and their design."""
