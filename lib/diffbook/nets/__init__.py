"""Small networks that train on a laptop."""
