"""Keep libp2p from talking: it logs a lot, some of it straight to the root logger, some to stderr by default."""

from __future__ import annotations

import logging
import os


def quiet_libp2p() -> None:
    """Let nothing of libp2p through, least of all to stderr. Its own LIBP2P_DEBUG, where set, stays in force.

    What it calls an error (a stranger whose handshake failed, an address where another peer answers) is everyday life;
    what matters is told by our own log events.

    libp2p's `swarm_connection` calls `logging.debug(...)`, the function of the module: with no handler on the root
    logger that installs one that prints to stderr, for the whole program. So the root gets one that does nothing.
    """
    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())
    if not any(isinstance(each, _NotOfLibp2p) for each in logging.root.filters):
        logging.root.addFilter(_NotOfLibp2p())
    if os.environ.get("LIBP2P_DEBUG"):
        return
    for name in ("libp2p", "multiaddr", "async_service"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.CRITICAL)
        logger.propagate = False


class _NotOfLibp2p(logging.Filter):
    """Applies to what is logged on the root logger itself, not to what comes up from named loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "/libp2p/" not in record.pathname
