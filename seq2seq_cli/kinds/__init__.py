"""What there is to choose from, as plain data, so that ``config`` and the command line can read it without torch."""
