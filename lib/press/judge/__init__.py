"""Claims, manifests and verdicts."""
