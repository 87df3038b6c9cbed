"""Which credentials belong to which URL, and which secrets a workflow names."""

from __future__ import annotations

import msgpack
import pytest

from clockmesh.runner.named_secrets import named_secrets
from clockmesh.runner.remotes import Credential, bare, covers, holds_credentials, read_credential, remote_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("HTTPS://Example.org:443/Me/prices.git/", "https://example.org/Me/prices"),
        ("http://example.org:8080/x", "http://example.org:8080/x"),
        ("https://ann@example.org/x", "https://example.org/x"),
        ("https://example.org", "https://example.org"),
        ("http://[::1]:80/x", "http://[::1]/x"),
        ("git://example.org/x", ""),
        ("git@example.org:x.git", ""),
        ("https://example.org/me/../other/x", ""),
        ("https://example.org/me/%2e%2E/other/x", ""),
        ("https:///x", ""),
        ("https://example.org:port/x", ""),
        ("", ""),
    ],
)
def test_a_url_has_one_name(url: str, name: str) -> None:
    assert remote_name(url) == name


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("https://example.org/me.git", True),
        ("https://example.org/me/prices.git", True),
        ("https://example.org/meet", False),
        ("http://example.org/me", False),
        ("https://example.org.evil.example/me", False),
        ("https://example.org:444/me", False),
        ("https://example.org/me/../other", False),
    ],
)
def test_credentials_are_for_their_place_and_below(url: str, covered: bool) -> None:
    assert covers("https://example.org/me", url) is covered


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("https://ann:pw@example.org/x", True),
        ("https://ghp_token@example.org/x", True),
        ("ssh://ann:pw@example.org/x", True),
        ("ssh://git@example.org/x", False),
        ("git@example.org:x.git", False),
        ("https://example.org/a@b", False),
        ("/srv/git/x", False),
    ],
)
def test_a_url_with_credentials_in_it_is_known(url: str, holds: bool) -> None:
    assert holds_credentials(url) is holds
    assert not holds_credentials(bare(url))


def test_a_token_alone_has_a_user_that_servers_take() -> None:
    assert read_credential("abc") == Credential("x-access-token", "abc")
    assert read_credential("ann:a:b") == Credential("ann", "a:b")
    assert read_credential("ann:pw").header == "AUTHORIZATION: basic YW5uOnB3"
    assert "pw" not in repr(read_credential("ann:pw"))


def test_the_secrets_that_a_workflow_names_are_found_in_its_expressions_alone() -> None:
    text = b"""
        a: ${{ secrets.token }} ${{ secrets['other'] || format('secrets.TEXT') }}
        # ${{ secrets.COMMENT }}
        b: ["${{ steps.secrets.outputs.x }} secrets.PLAIN", "${{ mysecrets.X }}"]
        """
    assert named_secrets(text, "f").names == {"TOKEN", "OTHER"}
    assert not named_secrets(text, "f").any
    assert named_secrets(b"a: ${{ toJSON(secrets) }}", "f").any
    assert named_secrets(b"a: ${{ secrets[matrix.x] }}", "f").any
    assert named_secrets(b"a: {uses: ./b.yml, secrets: inherit}", "f").any
    both = msgpack.packb([b"a: ${{ secrets.OUTER }}", {"b.yml": b"a: ${{ secrets.inner }}"}])
    assert named_secrets(both, "f").names == {"OUTER"}
    assert named_secrets(b"a: [secrets", "f").names == frozenset()
