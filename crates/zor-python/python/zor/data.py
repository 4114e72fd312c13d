"""Data sets as NumPy arrays."""
