"""Scene graphs as networkx graphs: the form in which GraphML, GEXF and node-link json are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import networkx as nx

from spade.structures.scene_graph import SceneGraph, Segment

# What XML 1.0 cannot carry, even escaped.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# What a graph file says of a segment, in this order.
NODE_FACTS = (
    *("label", "category_id", "is_thing", "score", "area", "x1", "y1", "x2", "y2"),
    *("centroid_x", "centroid_y", "image"),
)


def clean(text: str) -> str:
    """A text that every graph format can carry: characters that XML forbids become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def node_facts(segment: Segment, image: str) -> dict[str, Any]:
    """What a graph file says of a segment, as plain str, int, float and bool: box xyxy, area and centroid in pixels.

    The centroid is the box's middle where no map told it.
    """
    x1, y1, x2, y2 = segment.bbox
    cx, cy = segment.centroid or ((x1 + x2) / 2, (y1 + y2) / 2)
    return {
        "label": clean(segment.label),
        "category_id": int(segment.category_id),
        "is_thing": bool(segment.is_thing),
        "score": float(segment.score),
        "area": int(segment.area),
        "x1": int(x1),
        "y1": int(y1),
        "x2": int(x2),
        "y2": int(y2),
        "centroid_x": float(cx),
        "centroid_y": float(cy),
        "image": clean(image),
    }


def to_networkx(graph: SceneGraph) -> nx.MultiDiGraph:
    """A node for each segment, under its id as text, and an edge for each relation, under its number in the graph's
    order; ``label`` and ``predicate`` of an edge are the same.
    """
    return networkx_of([graph], merged=False)


def networkx_of(graphs: Iterable[SceneGraph], merged: bool) -> nx.MultiDiGraph:
    """Graphs in one, unconnected; with ``merged`` node ids start with the graph's number: "0/17"."""
    out = nx.MultiDiGraph()
    edges = 0
    for number, graph in enumerate(graphs):
        prefix = f"{number}/" if merged else ""
        for segment in graph.segments:
            out.add_node(f"{prefix}{segment.id}", **node_facts(segment, graph.file_name))
        for relation in graph.relations:
            name = clean(relation.predicate)
            ends = f"{prefix}{relation.subject}", f"{prefix}{relation.object}"
            # Numbered through the file: Gephi and yEd take edges of one key for one edge.
            out.add_edge(*ends, key=str(edges), label=name, predicate=name, score=float(relation.score))
            edges += 1
    return out
