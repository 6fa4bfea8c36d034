"""How much the server takes on: every limit, once."""

MAX_BODY = 256 * 1024
"""Bytes of a request's body."""
MAX_HEAD = 16 * 1024
"""Bytes of its request line and headers."""
MAX_SENTENCES = 32
"""Sentences a request."""
MAX_PIECES = 400
"""Pieces a sentence, in the tokenizer of each run that is to translate it."""
MAX_BEAM = 20
"""Widest beam, and so the most translations of a sentence."""
MAX_TEXT = 100_000
"""Pieces of a request's sentences for each run, times the translations asked for: about half as many as it can get."""
MAX_WEIGHTS = 2_000_000
"""The same with alignment, which has a weight for each pair of words: squares of the pieces, times the translations."""
BATCH_TOKENS = 4000
"""Source positions times (beam + 1) decoded together, where the run's own setting is not less. Four such batches take a
seventh longer than one of all; in return, the first quarter of those who wait, and whoever comes meanwhile, do not wait
for all the rest. How much sooner they are answered has not been measured."""
QUEUE = 512
"""Requests read and not yet answered; one more is told to come back."""
CONNECTIONS = 900
"""Open connections: below the 1,024 files that systems commonly let a process open."""

READ_SECONDS = 10
"""A request has arrived whole by then, its head and its body each."""
WRITE_SECONDS = 30
"""A client that has stopped reading its answer is waited for so long."""
IDLE_SECONDS = 15
"""A connection is kept for another request so long."""
SHUTDOWN_SECONDS = 60
"""When the server is told to stop, what is under way has so long to end."""
RETRY_SECONDS = 2
"""Who was turned away is asked to come back then."""
