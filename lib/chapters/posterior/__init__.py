"""Zero-shot posterior sampling (arXiv 2602.07715)."""
