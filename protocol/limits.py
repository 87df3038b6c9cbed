"""Bounds on all that comes from a peer, each with its reason. Lengths of text are counted in code points.

They are part of the protocol: what one peer refuses, every peer must refuse, or their clocks part.
"""

from __future__ import annotations

MAX_INTEGER = 2**63 - 1
"""What SQLite and most languages hold in a signed integer."""

MAX_FRAME = 256 * 1024
"""Bytes of one frame without its length. py-libp2p loses gossip messages above 1 MB; this keeps far away."""

MAX_NODE_BYTES = 240 * 1024
"""A node, signature included; leaves room in a frame for what a message puts around it."""

MAX_BEACON_BYTES = 240 * 1024
"""A beacon, signature included."""

MAX_PARENTS = 64
"""Heads that one node names: one for each peer of the largest mesh."""

MAX_EVENTS_PER_NODE = 1000
"""One commit window holds up to 50 ms of work; more goes into the next node."""

MAX_PEERS = 64
"""Members of a mesh at a time: it is fully connected."""

MAX_AUTHORS = 1024
"""Entries of a vector: members of all times, gone ones included. Encoded some 40 KiB, which fits a frame."""

MAX_HEARD = 128
"""Peers that one beacon has heard. Twice the members, because inviters apart from one another may each admit the last
one that the mesh has room for."""

MAX_ARRAY = 4096
"""Elements of any array. A header may claim millions, and msgpack makes room for them before it reads any."""

MAX_MAP = 1024
"""Entries of any map (only events of newer versions may hold maps)."""

MAX_DEPTH = 16
"""Lists and maps inside one another in the fields of an unknown event; below the limit of any msgpack library."""

MAX_NAME = 64
"""A peer's name: a column of a table that fits a terminal."""

MAX_SLOTS = 1024
MAX_LABELS = 64
MAX_LABEL = 128
MAX_ADDRESSES = 16
MAX_ADDRESS = 256

MAX_JOBS_PER_PLAN = 1024
"""Four matrices of 256 legs, GitHub's bound on one."""

MAX_KEY = 512
"""A job's key; that of a matrix leg names its values."""

MAX_JOB_ID = 256
MAX_NEEDS = 256
MAX_MATRIX = 16 * 1024
"""One leg's values as JSON."""

MAX_TIMEOUT_S = 366 * 24 * 3600
MAX_TITLE = 256
"""A workflow's name."""

MAX_PATH = 1024
MAX_URL = 2048
MAX_REF = 1024
MAX_EVENT_NAME = 64
MAX_INPUTS = 100
MAX_INPUT = 64 * 1024

MAX_ATTEMPT = 2**31 - 1
MAX_LEASE_MS = 24 * 3600 * 1000
MAX_ELECTORATE = 128
"""A quorum has at most 7; under a lease all members may be recorded (see `MAX_HEARD`)."""

MAX_CRON = 256
MAX_TIMEZONE = 64
MAX_CRON_LINES = 64
"""Entries of `on.schedule` of one workflow."""

MAX_CATCH_UP = 1000
MAX_CATCH_UP_S = 366 * 24 * 3600
MAX_JITTER_S = 24 * 3600
MAX_FAILURES = 1000
"""Failed ticks in a row after which a schedule pauses itself."""

MAX_OUTPUTS = 1024
MAX_OUTPUT_NAME = 256
MAX_OUTPUT_BYTES = 16 * 1024
"""Names and values of one job's outputs together, in UTF-8: they travel inside the result."""

MAX_ERROR = 2048
"""The one line that says why a job failed."""

MAX_ANNOTATIONS = 50
"""Of one job, as on GitHub."""

MAX_ANNOTATION = 4096
"""The message of one."""

MAX_ANNOTATION_BYTES = 32 * 1024
"""Of one job's annotations together, in UTF-8: they travel beside the result."""

MAX_SECRETS = 100
"""Secrets, and remotes with credentials, that stand at a time: GitHub's bound. A matter of who accepts them."""

MAX_SECRET_BYTES = 48 * 1024
"""Of a value, as on GitHub."""

MAX_SECRET_WORKFLOWS = 32
MAX_SECRET_WORKFLOW = 256

MAX_REASON = 1024
"""The one line that says why a request was refused."""

MAX_OVER = 1024
"""Attempts that one beacon lists in `over`; with keys of 190 bytes they fill it. A voter with as many must not grant
above another: a grant that its beacon cannot list would break rule 5."""

MAX_NOTE_LABEL = 256
MAX_NOTE = 128 * 1024
"""A note's JSON; more belongs into a blob."""

MAX_CODE = 2**16 - 1
"""Codes and versions of events."""

CHUNK_BYTES = 128 * 1024
"""A blob travels, and is checked, in pieces of this size; the last may be shorter."""

MAX_BLOBS_ASKED = 64
"""In one request: what a busy peer's jobs log in a second or two."""

MAX_BLOB_BYTES = 256 * 1024 * 1024
"""2048 chunks, whose manifest of 68 KiB fits one frame."""

MAX_LOG_DATA = 128 * 1024
"""Bytes of one piece of a streamed log."""
