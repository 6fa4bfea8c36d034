"""How much the server takes on. Every limit stands here, once."""

MAX_BODY = 256 * 1024
"""Most bytes of a request's body."""
MAX_HEAD = 16 * 1024
"""Most bytes of a request's first line and headers."""
MAX_SENTENCES = 32
"""Most sentences in a request."""
MAX_PIECES = 400
"""Most pieces of a sentence, by the tokenizer of each run that translates it."""
MAX_BEAM = 20
"""Widest beam, and so the most translations of a sentence."""
MAX_TEXT = 100_000
"""Most pieces of a request: of its sentences, summed over the runs, times the number of translations asked for. The
answer can have about twice as many."""
MAX_WEIGHTS = 2_000_000
"""Most squares of the pieces of a request with alignment: summed and multiplied likewise. An alignment has a weight for
each pair of words; with all layers, one for each layer and each head."""
BATCH_TOKENS = 4000
"""Source positions times (beam + 1) decoded together, if the run's own setting is not less. Four such batches take a
seventh longer than one batch of all sentences; but the first quarter of those who wait, and whoever comes meanwhile,
need not wait for the rest. How much sooner they are answered has not been measured."""
QUEUE = 512
"""Most requests that are read and not yet answered; a further one is told to come back."""
CONNECTIONS = 900
"""Most open connections: below the 1,024 files that systems commonly let a process open."""

READ_SECONDS = 10
"""Within this time the head of a request must arrive, and within as much again its body."""
WRITE_SECONDS = 30
"""How long to wait for a client that has stopped reading its answer."""
IDLE_SECONDS = 15
"""How long a connection is kept open for another request."""
SHUTDOWN_SECONDS = 60
"""How long work under way may still take when the server is told to stop."""
RETRY_SECONDS = 2
"""When a client that was turned away is asked to come back."""
