"""The actions that are built in, and which inputs each understands. What an action does is in a file of its own."""

from __future__ import annotations

CHECKOUT = "actions/checkout"

CHECKOUT_INPUTS = frozenset({"path", "ref", "fetch-depth", "clean", "persist-credentials", "show-progress"})
"""What the built-in checkout understands of the `with` of actions/checkout."""

UPLOAD, DOWNLOAD = "actions/upload-artifact", "actions/download-artifact"

UPLOAD_INPUTS = frozenset({
    "name", "path", "if-no-files-found", "retention-days", "compression-level", "overwrite", "include-hidden-files",
    "archive",
})  # fmt: skip
DOWNLOAD_INPUTS = frozenset({"name", "artifact-ids", "path", "pattern", "merge-multiple", "github-token", "repository",
                             "run-id"})  # fmt: skip

CACHE_INPUTS = frozenset({"path", "key", "restore-keys", "upload-chunk-size", "enablecrossosarchive",
                          "fail-on-cache-miss", "lookup-only", "save-always"})  # fmt: skip
RESTORE_INPUTS = CACHE_INPUTS - {"upload-chunk-size", "save-always"}
SAVE_INPUTS = frozenset({"path", "key", "upload-chunk-size", "enablecrossosarchive"})

PYTHON_INPUTS = frozenset({
    "python-version", "python-version-file", "cache", "architecture", "check-latest", "token", "update-environment",
    "cache-dependency-path", "allow-prereleases", "pip-version",
})  # fmt: skip
NODE_INPUTS = frozenset({
    "node-version", "node-version-file", "cache", "architecture", "check-latest", "token", "cache-dependency-path",
    "package-manager-cache",
})  # fmt: skip

COMMIT_INPUTS = frozenset({
    "commit_message", "branch", "commit_options", "add_options", "status_options", "file_pattern", "repository",
    "commit_user_name", "commit_user_email", "commit_author", "tagging_message", "tag_name", "push_options",
    "skip_dirty_check", "skip_fetch", "skip_checkout", "skip_push", "disable_globbing", "create_branch",
})  # fmt: skip

BUILT_IN: dict[str, frozenset[str]] = {
    CHECKOUT: CHECKOUT_INPUTS,
    "actions/cache": CACHE_INPUTS,
    "actions/cache/restore": RESTORE_INPUTS,
    "actions/cache/save": SAVE_INPUTS,
    "actions/setup-python": PYTHON_INPUTS,
    "actions/setup-node": NODE_INPUTS,
    UPLOAD: UPLOAD_INPUTS,
    DOWNLOAD: DOWNLOAD_INPUTS,
    "stefanzweifel/git-auto-commit-action": COMMIT_INPUTS,
}
"""By name in lower case: the inputs that the one here understands, in lower case."""
