"""Pairing the lines of two texts anew, by their lengths and by words that translate each other (Moore 2002)."""
