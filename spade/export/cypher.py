"""Scene graphs as statements of Cypher, the language of Neo4j, Memgraph and others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from spade.export.networkx_graph import clean, node_facts
from spade.structures.scene_graph import SceneGraph

_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "`": "\\`"}


def cypher(graphs: Iterable[SceneGraph], merged: bool) -> str:
    """A CREATE statement for each segment, a node (:Segment), and one for each relation, whose type is the predicate in
    capitals; ``predicate`` holds it as it is.

    Segments are found again by image and id, so that several files go into one database; merged, the id starts with the
    graph's number.
    """
    lines, count = [], 0
    for number, graph in enumerate(graphs):
        prefix = f"{number}/" if merged else ""
        for segment in graph.segments:
            facts = {"id": f"{prefix}{segment.id}", **node_facts(segment, graph.file_name)}
            lines.append(f"CREATE (:Segment {_map(facts)});")
        for relation in graph.relations:
            ends = [
                _map({"image": clean(graph.file_name), "id": f"{prefix}{identity}"})
                for identity in (relation.subject, relation.object)
            ]
            name = clean(relation.predicate)
            facts = {"number": count, "label": name, "predicate": name, "score": float(relation.score)}
            count += 1
            kind = relation_type(relation.predicate)
            lines.append(f"MATCH (s:Segment {ends[0]}), (o:Segment {ends[1]}) CREATE (s)-[:{kind} {_map(facts)}]->(o);")
    return "".join(f"{line}\n" for line in lines)


def relation_type(predicate: str) -> str:
    """A predicate as a type that needs no quoting: STANDING_ON; RELATED where nothing of it is left."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", predicate).strip("_").upper()
    return f"P_{name}" if name[:1].isdigit() else name or "RELATED"


def _map(facts: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {_literal(value)}" for name, value in facts.items()) + "}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    return "'" + "".join(_ESCAPES.get(c, c) for c in str(value)) + "'"
