"""Ways to damage a file."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_LEAVES = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(10**30), 0.5, -0.0, 1e308, float("inf"), float("nan"), "", " ", "a",
    "\x00", "\ud800", "../../x", "C:\\x", "/etc/passwd", "~", "a" * 5000, [], {}, [[]], [None], {"a": 1}, [0, 1, 2, 3],
)  # fmt: skip


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """A file's bytes, damaged: as bytes, or, of json, as a document with other values, keys or lists."""
    document = _document(data)
    if document is None or draw(st.booleans()):
        return _bytes_damaged(draw, data)
    for _ in range(draw(st.integers(1, 3))):
        document = _values_damaged(draw, document)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _bytes_damaged(draw: Any, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place, kind = draw(st.integers(0, max(len(changed) - 1, 0))), draw(st.integers(0, 4))
        if kind == 0:
            changed[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            del changed[place : place + draw(st.integers(1, 9))]
        elif kind == 3:
            changed[place:place] = draw(st.binary(max_size=12))
        else:
            changed[place:place] = changed[max(0, place - 20) : place]
    return bytes(changed)


def _values_damaged(draw: Any, node: Any) -> Any:
    """The document with one node changed, chosen on the way down."""
    if isinstance(node, dict) and node and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(node)))
        changed = dict(node)
        if draw(st.integers(0, 6)) == 0:
            del changed[key]
        else:
            changed[key] = _values_damaged(draw, node[key])
        return changed
    if isinstance(node, list) and node and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(node) - 1))
        rest = [node[place]] * 2 if draw(st.integers(0, 6)) == 0 else [_values_damaged(draw, node[place])]
        return [*node[:place], *rest, *node[place + 1 :]]
    return draw(st.sampled_from(_LEAVES))
