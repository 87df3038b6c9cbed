from __future__ import annotations

import msgpack
import pytest

from clockmesh.protocol import limits
from clockmesh.protocol.errors import LocalError, RemoteError
from clockmesh.protocol.ids import BlobHash, JobKey, NodeHash
from clockmesh.protocol.messages import (
    BlobChunk,
    BlobManifest,
    BlobMissing,
    BlobRequest,
    BlobsRequest,
    JoinAccepted,
    JoinRefused,
    JoinRequest,
    LogData,
    LogEnd,
    LogRequest,
    NodesRequest,
    Refused,
    SyncDone,
    SyncNodes,
    SyncRequest,
    batches,
    decode_message,
    encode_message,
)
from tests.unit.protocol_builders import BUILD, MESH, NONCE, RUN, description, digest, key

BLOB = BlobHash(digest("blob"))
ONE_OF_EACH = [
    JoinRequest(NONCE, digest("secret"), description()),
    JoinAccepted(MESH, (b"node", b"another"), True),
    JoinRefused("the invitation has expired: ask for another"),
    SyncRequest({key(0).peer: 3, key(1).peer: 2**40}),
    SyncNodes((b"node",)),
    SyncDone({}),
    BlobRequest(BLOB, 7),
    BlobManifest(200_000, (digest("a"), digest("b"))),
    BlobChunk(2047, bytes(limits.CHUNK_BYTES)),
    BlobMissing(BLOB),
    BlobsRequest((BLOB, BLOB)),
    NodesRequest((NodeHash(bytes(BLOB)),)),
    LogRequest(RUN, BUILD, 0, 1024, True),
    LogData(5, b"line\n"),
    LogEnd(12, False),
    Refused("not now"),
]


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was_sent(message):
    data = encode_message(message)
    assert decode_message(data) == message
    assert len(data) <= limits.MAX_FRAME


def test_no_secret_shows_in_the_text_of_a_join_request():
    assert "secret" not in repr(ONE_OF_EACH[0])


def test_the_manifest_of_the_largest_blob_fits_one_message():
    chunks = tuple(digest(str(number)) for number in range(limits.MAX_BLOB_BYTES // limits.CHUNK_BYTES))
    manifest = BlobManifest(limits.MAX_BLOB_BYTES, chunks)
    assert decode_message(encode_message(manifest)) == manifest


def test_a_reason_is_cut_to_one_line_that_fits():
    told = decode_message(encode_message(Refused("no:\n\x1b[31m" + "x" * 3000)))
    assert told.reason.startswith("no:  [31mxxx")
    assert len(told.reason) == limits.MAX_REASON


@pytest.mark.parametrize(
    "message",
    [
        JoinRequest(b"short", digest("secret"), description()),
        JoinRequest(NONCE, b"", description()),
        SyncRequest({key(0).peer: 0}),
        SyncRequest({b"short": 1}),
        BlobRequest(BLOB, -1),
        BlobManifest(limits.MAX_BLOB_BYTES + 1, ()),
        BlobManifest(1, (b"",)),
        BlobChunk(0, bytes(limits.CHUNK_BYTES + 1)),
        BlobChunk(2048, b""),
        LogRequest(RUN, JobKey(""), 1, 0, True),
        LogRequest(RUN, BUILD, -1, 0, True),
        LogRequest(RUN, BUILD, 1, 0, 1),
        LogData(0, bytes(limits.MAX_LOG_DATA + 1)),
        SyncNodes((bytes(limits.MAX_NODE_BYTES + 1),)),
        SyncNodes((bytes(200_000), bytes(100_000))),
    ],
    ids=range(15),
)
def test_a_message_that_peers_would_refuse_is_never_sent(message):
    with pytest.raises(LocalError):
        encode_message(message)


@pytest.mark.parametrize(
    "value",
    [[], [0], [99, 1], [True, b""], "x", None, {"a": 1}, [10], [10, [], []], [11, [1]], [11, "x"], [32, 1, 1], [1] * 9],
    ids=repr,
)
def test_what_is_no_message_is_refused(value):
    with pytest.raises(RemoteError):
        decode_message(msgpack.packb(value))


def test_a_vector_out_of_order_or_with_an_author_twice_is_refused():
    low, high = sorted((key(0).peer, key(1).peer))
    assert decode_message(msgpack.packb([10, [[low, 1], [high, 1]]])) == SyncRequest({low: 1, high: 1})
    for pairs in ([[high, 1], [low, 1]], [[low, 1], [low, 1]], [[low]], [[low, 1, 1]], [[low, 0]]):
        with pytest.raises(RemoteError):
            decode_message(msgpack.packb([10, pairs]))


def test_a_vector_of_all_authors_there_may_ever_be_fits_one_message():
    vector = {digest(str(number)): 2**40 for number in range(limits.MAX_AUTHORS)}
    assert decode_message(encode_message(SyncRequest(vector))) == SyncRequest(vector)


def test_batches_keep_order_and_fill_frames_without_overflowing():
    sizes = [200, limits.MAX_NODE_BYTES, 1, *[300] * 3000, limits.MAX_NODE_BYTES, limits.MAX_NODE_BYTES]
    nodes = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    groups = list(batches(nodes))
    assert [node for group in groups for node in group] == nodes
    for group in groups:
        assert len(encode_message(JoinAccepted(MESH, group, True))) <= limits.MAX_FRAME
    assert len(groups) <= 9
    assert list(batches([])) == []
    assert max(map(len, batches([b"x"] * 10_000))) == limits.MAX_ARRAY
