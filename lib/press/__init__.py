"""The press: runs chapters, judges their claims, renders the book. It knows no mathematics."""

__version__ = "0.6.0"
