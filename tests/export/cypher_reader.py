"""A strict reader of the few statements that a graph file in Cypher may hold; anything else is an error."""

from __future__ import annotations

import re

_STRING = r"'(?:[^'\\]|\\[\\'\"ntr`])*'"
_VALUE = rf"(?:{_STRING}|true|false|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_MAP = rf"\{{\w+: {_VALUE}(?:, \w+: {_VALUE})*\}}"
_NODE = re.compile(rf"CREATE \(:Segment (?P<facts>{_MAP})\);")
_RELATION = re.compile(
    rf"MATCH \(s:Segment (?P<s>{_MAP})\), \(o:Segment (?P<o>{_MAP})\) "
    rf"CREATE \(s\)-\[:(?P<kind>[A-Z][A-Z0-9_]*) (?P<facts>{_MAP})\]->\(o\);"
)
_FIELD = re.compile(rf"(\w+): ({_VALUE})")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def read(text: str) -> tuple[list[dict], list[tuple[dict, dict, dict]]]:
    """Facts of the nodes, and of the relations with what their ends are found by."""
    nodes, relations = [], []
    for line in text.split("\n")[:-1]:
        if found := _NODE.fullmatch(line):
            nodes.append(_facts(found["facts"]))
        elif found := _RELATION.fullmatch(line):
            relations.append((_facts(found["s"]), _facts(found["o"]), _facts(found["facts"])))
        else:
            raise ValueError(f"no statement of ours: {line!r}")
    return nodes, relations


def _facts(text: str) -> dict:
    return {name: _value(value) for name, value in _FIELD.findall(text)}


def _value(text: str):
    if text.startswith("'"):
        return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), text[1:-1])
    return {"true": True, "false": False}[text] if text in ("true", "false") else float(text)
