"""The table of guards stays true as the code moves; `python -m tests.guards` tries each."""

from __future__ import annotations

import pytest

from tests.guards import GUARDS, ROOT, Guard, failing_without, mutated


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.what)
def test_each_guard_is_where_the_table_says_and_has_its_test(guard: Guard) -> None:
    compile(mutated(guard, ROOT), guard.file, "exec")
    file, test = guard.test.split("::")
    assert f"def {test}(" in (ROOT / file).read_text()


def test_every_fault_that_was_found_has_a_guard() -> None:
    assert {guard.kind for guard in GUARDS} == {*map(str, range(1, 11)), "memory", "sandbox", "disk", "fork"}


@pytest.mark.long
def test_every_guards_test_fails_without_it() -> None:
    assert failing_without(GUARDS) == []
