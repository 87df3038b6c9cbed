"""Many peers under virtual time and faults: the real machine, and an oracle that holds it to its promises."""
