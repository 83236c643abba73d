"""Scene graphs as files of other tools: one table of formats, each with its suffixes and its writer."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from spade.core.errors import SpadeError, given
from spade.export.coco import coco
from spade.export.cypher import cypher
from spade.export.dot import dot
from spade.export.networkx_graph import NODE_FACTS, networkx_of, node_facts
from spade.structures.scene_graph import SceneGraph

Files = Mapping[str, bytes]  # by what stands after the file's stem


@dataclass(frozen=True)
class GraphFormat:
    """``suffixes``: the first is written, all are known; ``write`` gets the graphs and whether they are merged, which
    numbers their nodes by graph. ``needs_maps``: masks themselves are written.
    """

    suffixes: tuple[str, ...]
    write: Callable[[Iterable[SceneGraph], bool], Files]
    needs_maps: bool = False


def _graphml(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    import networkx as nx

    buffer = io.BytesIO()
    nx.write_graphml_xml(networkx_of(graphs, merged), buffer, encoding="utf-8", prettyprint=not merged)
    return {".graphml": buffer.getvalue()}


def _gexf(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    import networkx as nx

    graph = networkx_of(graphs, merged)
    for _, _, key, facts in graph.edges(keys=True, data=True):
        facts["id"] = key
    buffer = io.BytesIO()
    nx.write_gexf(graph, buffer, encoding="utf-8", prettyprint=not merged)
    # The day of writing would make equal graphs different files.
    return {".gexf": re.sub(rb' lastmodifieddate="[^"]*"', b"", buffer.getvalue(), count=1)}


def _node_link(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    import networkx as nx

    data = nx.node_link_data(networkx_of(graphs, merged), edges="edges")
    return {".json": _json(data)}


def _coco(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    return {".json": _json(coco(graphs))}


def _dot(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    return {".dot": dot(graphs, merged).encode("utf-8")}


def _cypher(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    return {".cypher": cypher(graphs, merged).encode("utf-8")}


def _csv(graphs: Iterable[SceneGraph], merged: bool) -> Files:
    nodes, edges = io.StringIO(), io.StringIO()
    node_rows, edge_rows = csv.writer(nodes), csv.writer(edges)
    node_rows.writerow(["id", *NODE_FACTS])
    edge_rows.writerow(["id", "source", "target", "label", "predicate", "score", "image"])
    count = 0
    for number, graph in enumerate(graphs):
        prefix = f"{number}/" if merged else ""
        for segment in graph.segments:
            node_rows.writerow([f"{prefix}{segment.id}", *node_facts(segment, graph.file_name).values()])
        for relation in graph.relations:
            ends = f"{prefix}{relation.subject}", f"{prefix}{relation.object}"
            name = relation.predicate
            edge_rows.writerow([count, *ends, name, name, relation.score, graph.file_name])
            count += 1
    return {"/nodes.csv": nodes.getvalue().encode("utf-8"), "/edges.csv": edges.getvalue().encode("utf-8")}


def _json(data: object) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


FORMATS: dict[str, GraphFormat] = {
    "graphml": GraphFormat((".graphml",), _graphml),
    "gexf": GraphFormat((".gexf",), _gexf),
    "node-link": GraphFormat((".json",), _node_link),
    "dot": GraphFormat((".dot", ".gv"), _dot),
    "cypher": GraphFormat((".cypher",), _cypher),
    "csv": GraphFormat(("",), _csv),
    "coco": GraphFormat((".json",), _coco, needs_maps=True),
}


def graph_format(name: str) -> GraphFormat:
    """The format of this name. Raises SpadeError for one that is unknown."""
    if name not in FORMATS:
        raise SpadeError(f"{given('format', name)}: unknown graph format; use {', '.join(FORMATS)}.")
    return FORMATS[name]
