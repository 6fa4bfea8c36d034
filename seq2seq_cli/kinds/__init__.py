"""What there is to choose from, as plain data: ``config`` and the command line can read it without loading torch."""
