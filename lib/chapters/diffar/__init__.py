"""What the chapter on DiffAR needs."""
