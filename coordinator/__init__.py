"""Who runs what: one pure machine of state, ownership, claims and takeover. No I/O: facts and time come in."""
