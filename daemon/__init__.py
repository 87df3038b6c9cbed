"""The Trio shell: network, store, control socket and command line around the pure machine."""
