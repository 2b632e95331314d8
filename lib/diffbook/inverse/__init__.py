"""Linear inverse problems and zero-shot posterior samplers."""
