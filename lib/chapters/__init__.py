"""What one chapter alone needs: a room a chapter; rooms do not know each other."""
