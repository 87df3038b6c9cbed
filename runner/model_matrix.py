"""`strategy.matrix` as it stands in the file: whether it can be expanded later."""

from __future__ import annotations

from clockmesh.runner.errors import quoted
from clockmesh.runner.expressions import whole_expression
from clockmesh.runner.model_availability import STRATEGY
from clockmesh.runner.model_sheet import Sheet, kind
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence


def check_matrix(sheet: Sheet, node: Node) -> None:
    """Notes what is wrong with a matrix: its shape where that is written out, and its expressions."""
    if _is_expression(sheet, node):
        return
    if (mapping := sheet.mapping(node, "`matrix`")) is None:
        return
    if not mapping.pairs:
        sheet.note(mapping, "`matrix` is empty; add a list of values, such as `version: [1, 2]`")
    for key, value in mapping.pairs:
        if not key.text or "${{" in key.text:
            sheet.note(key, "a name in `matrix` must be a plain text")
        elif not _is_expression(sheet, value):
            _check_list(sheet, key.text, value)


def _check_list(sheet: Sheet, name: str, node: Node) -> None:
    what = f"`{quoted(name)}` of `matrix`"
    if not isinstance(node, Sequence):
        sheet.note(node, f"{what} must be a list, not {kind(node)}")
        return
    if name not in ("include", "exclude") and not node.items:
        sheet.note(node, f"{what} has no values; add one")
    for item in node.items:
        if name in ("include", "exclude") and not _is_expression(sheet, item):
            sheet.mapping(item, f"an entry of {what}")
        _check_expressions(sheet, item)


def _is_expression(sheet: Sheet, node: Node) -> bool:
    """Whether a node is one expression, which is checked on the way."""
    if not isinstance(node, Scalar) or "${{" not in node.text:
        return False
    _check_expressions(sheet, node)
    return whole_expression(node.text) is not None


def _check_expressions(sheet: Sheet, node: Node) -> None:
    match node:
        case Scalar():
            sheet.expressions(node, "`matrix`", STRATEGY)
        case Sequence(items=items):
            for item in items:
                _check_expressions(sheet, item)
        case Mapping(pairs=pairs):
            for _, value in pairs:
                _check_expressions(sheet, value)
