"""Import libp2p without its front page.

`import libp2p` loads every transport and service that it has (mDNS, bitswap, relay, QUIC, WebRTC, ...): 22 MB of memory
and half a second that a daemon never gets back. Its parts load alone once the package is known by name. To be imported
before anything of libp2p is; after that it changes nothing.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def _lean() -> None:
    spec = importlib.util.find_spec("libp2p")
    if "libp2p" in sys.modules or spec is None or spec.submodule_search_locations is None:
        return
    package = ModuleType("libp2p")
    package.__spec__ = spec
    package.__file__ = spec.origin
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["libp2p"] = package
    try:
        # libp2p's modules import one another in circles; this is where its front page enters them too.
        import libp2p.transport.quic.utils  # noqa: F401
    except ImportError:
        for name in [each for each in sys.modules if each.split(".")[0] == "libp2p"]:
            del sys.modules[name]


_lean()
