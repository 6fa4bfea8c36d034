"""What may be wrong with parallel text: found in one pass that takes no more memory for more text."""
