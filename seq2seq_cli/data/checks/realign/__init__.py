"""Lines of two texts paired anew: by their lengths and by words that translate each other (Moore 2002)."""
