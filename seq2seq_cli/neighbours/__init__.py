"""A memory of a text: what a model had in mind before each of its pieces, and the pieces that came next (Khandelwal et
al. 2021)."""
