"""Every line the daemon may log: `<noun>_<past participle>`, and what it says. Machines read the names; keep them.

Lines carry run, job, attempt and peer where they apply; hashes in hexadecimal, peers by name where one is known.
"""

from __future__ import annotations

from collections.abc import Mapping

CATALOGUE: Mapping[str, str] = {
    "attempt_ended": "the runner host reported an attempt's end",
    "attempt_started": "the runner host forked a job",
    "attempt_dropped": "an attempt was given up before it started",
    "beacon_refused": "a peer sent bytes that are no beacon of its own",
    "blob_fetched": "content came from another peer",
    "blob_missed": "content could not be fetched from any peer",
    "control_closed": "the control socket was closed",
    "control_opened": "the control socket answers",
    "daemon_failed": "the daemon cannot go on; a restart is needed",
    "daemon_started": "the daemon is ready",
    "daemon_stopped": "the daemon ended as it was asked to",
    "daemon_warned": "something its owner should know",
    "fork_found": "one author signed two nodes with one number: its key is stolen or its home was copied",
    "handler_failed": "a defect showed itself while a peer's message was handled",
    "handshake_broken": "a connection ended in an unexpected way before its peer was known",
    "handshake_failed": "someone connected and could not prove an identity",
    "host_connected": "the runner host answered",
    "host_failed": "the network ended unexpectedly and is built anew",
    "host_lost": "the runner host went away, and its jobs with it",
    "host_started": "a runner host was started",
    "invitation_made": "an invitation was made",
    "invitation_redeemed": "a peer joined by an invitation of ours",
    "join_refused": "a stranger could not join",
    "mesh_founded": "this peer founded a mesh",
    "mesh_joined": "this peer joined a mesh",
    "message_refused": "a peer sent bytes that are no message",
    "node_refused": "a peer sent bytes that are no valid node",
    "nodes_reloaded": "the nodes of the store are in memory",
    "nodes_synced": "a sync with a peer brought nodes",
    "peer_connected": "a member of the mesh is connected",
    "peer_disconnected": "a member of the mesh is no longer connected",
    "peer_frozen": "a member's connection gave no sign of life and was closed",
    "peer_unreached": "a member could not be dialled",
    "ping_failed": "a member did not answer a ping",
    "request_failed": "a peer's request could not be answered",
    "run_submitted": "a run was taken on here",
    "stranger_dismissed": "someone who is no member was disconnected",
    "stream_cut": "a peer went away in the middle of a request",
    "stream_failed": "a defect showed itself while a request was answered",
    "stream_lost": "a kept stream to a member ended; it is opened again",
    "sync_failed": "a sync with a peer did not finish",
}
