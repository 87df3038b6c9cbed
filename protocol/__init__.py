"""What peers say to each other: nodes, events, the clock, sync messages and their limits. Pure: no I/O."""
