"""What the chapter coupled alone needs."""
