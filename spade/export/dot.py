"""Scene graphs in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterable

from spade.export.figure_svg import hex_colour
from spade.export.names import colours, display_names
from spade.export.networkx_graph import clean, node_facts
from spade.structures.scene_graph import SceneGraph


def dot(graphs: Iterable[SceneGraph], merged: bool) -> str:
    """A directed graph with a node for each segment and an edge for each relation; merged, a cluster for each image."""
    count = 0
    lines = ["digraph scene_graphs {", '  node [shape=box style="rounded" penwidth=2];']
    for number, graph in enumerate(graphs):
        prefix = f"{number}/" if merged else ""
        if merged:
            lines += [f"  subgraph cluster_{number} {{", f"  label={quoted(graph.file_name)};"]
        names, shades = display_names(graph, longest=None), colours(graph)
        for segment in graph.segments:
            facts = node_facts(segment, graph.file_name)
            facts |= {"name": segment.label, "label": names[segment.id], "color": hex_colour(shades[segment.id])}
            facts["file_name"] = facts.pop("image")  # Graphviz would draw it into the node
            lines.append(f"  {quoted(f'{prefix}{segment.id}')} {_attributes(facts)};")
        if merged:
            lines.append("  }")
        for relation in graph.relations:
            ends = quoted(f"{prefix}{relation.subject}"), quoted(f"{prefix}{relation.object}")
            facts = {"number": count, "label": relation.predicate, "predicate": relation.predicate}
            facts["score"] = relation.score
            count += 1
            lines.append(f"  {ends[0]} -> {ends[1]} {_attributes(facts)};")
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """A text as a string of DOT: backslashes would begin an escape in a label, a quotation mark would end it."""
    plain = clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return f'"{plain}"'


def _attributes(facts: dict[str, object]) -> str:
    return f"[{' '.join(f'{name}={quoted(_plain(value))}' for name, value in facts.items())}]"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
