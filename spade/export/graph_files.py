"""Scene graphs as networkx graphs and graph files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import networkx as nx

from spade.structures.scene_graph import SceneGraph

# What XML 1.0 cannot carry, even escaped.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """A text that every graph format can carry: characters that XML forbids become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def to_networkx(graph: SceneGraph, prefix: str = "") -> nx.MultiDiGraph:
    """A MultiDiGraph of plain str, int, float and bool: one node a segment, one edge a relation, keyed by predicate.

    Node ids are the segment ids as text, after ``prefix``. Boxes are four numbers, xyxy in image pixels.
    """
    out = nx.MultiDiGraph()
    for segment in graph.segments:
        x1, y1, x2, y2 = segment.bbox
        out.add_node(
            f"{prefix}{segment.id}",
            label=clean(segment.label),
            category_id=int(segment.category_id),
            is_thing=bool(segment.is_thing),
            score=float(segment.score),
            area=int(segment.area),
            x1=int(x1),
            y1=int(y1),
            x2=int(x2),
            y2=int(y2),
            image=clean(graph.file_name),
        )
    for relation in graph.relations:
        name = clean(relation.predicate)
        out.add_edge(
            f"{prefix}{relation.subject}",
            f"{prefix}{relation.object}",
            key=name,
            predicate=name,
            score=float(relation.score),
        )
    return out


def merged(graphs: Sequence[SceneGraph]) -> nx.MultiDiGraph:
    """All graphs in one file, unconnected; node ids start with the graph's number."""
    out = nx.MultiDiGraph()
    for number, graph in enumerate(graphs):
        out = nx.compose(out, to_networkx(graph, f"{number}/"))
    return out


def graphml(graph: nx.MultiDiGraph) -> bytes:
    """A graph as GraphML."""
    buffer = io.BytesIO()
    nx.write_graphml(graph, buffer, encoding="utf-8", prettyprint=True)
    return buffer.getvalue()
