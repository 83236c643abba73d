from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spade.export.figure import figure, figure_png
from spade.export.graph_files import clean, graphml, merged, to_networkx
from spade.structures.scene_graph import Relation, SceneGraph, Segment


def graph(labels=("dog", "sky"), predicates=("under",), size=(40, 30)):
    width, height = size
    ids = np.zeros((height, width), np.uint32)
    segments = []
    for i, label in enumerate(labels):
        ids[:, i * width // len(labels) : (i + 1) * width // len(labels)] = i + 1
        segments.append(Segment(i + 1, label, i, i % 2 == 0, 0.5, (0, 0, 1, 1), 1))
    relations = tuple(Relation(1, 2, p, 0.5) for p in predicates) if len(labels) > 1 else ()
    return SceneGraph("a.png", width, height, tuple(segments), relations, tuple(labels), predicates, ids)


def test_graphml_round_trip_with_parallel_predicates():
    made = graph(predicates=("under", "near"))
    back = nx.parse_graphml(graphml(to_networkx(made)).decode(), force_multigraph=True)
    assert back.nodes["1"]["label"] == "dog"
    assert back.nodes["1"]["is_thing"] is True
    assert sorted(d["predicate"] for _, _, d in back.edges(data=True)) == ["near", "under"]


def test_graphml_keys_have_ids_of_their_own():
    """Nodes and edges both have a score; two keys of one id would be no valid GraphML."""
    tree = ET.fromstring(graphml(to_networkx(graph())))
    ids = [key.get("id") for key in tree.findall("{*}key")]
    assert len(ids) == len(set(ids))


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_label_gives_a_file_that_reads_back(label, predicate):
    data = graphml(to_networkx(graph(labels=(label, "sky"), predicates=(predicate,))))
    back = nx.parse_graphml(data.decode(), force_multigraph=True)
    # XML reads \r as \n; all else comes back.
    assert back.nodes["1"]["label"].replace("\n", "") == clean(label).replace("\r", "").replace("\n", "")


def test_merged_graphs_do_not_touch():
    joined = merged([graph(), graph()])
    assert set(joined.nodes) == {"0/1", "0/2", "1/1", "1/2"}
    assert nx.number_weakly_connected_components(joined) == 2


@pytest.mark.parametrize("size", [(40, 30), (30, 300), (900, 40), (1, 1)])
def test_a_figure_of_any_image(size):
    page = Image.open(io.BytesIO(figure_png(Image.new("RGB", size, "red"), graph(size=size))))
    assert page.height > 400
    assert 500 < page.width < 4000


@pytest.mark.parametrize(
    "labels", [(), ("one",), tuple(f"label {i}" for i in range(30)), ("a\nb", "\x1b[31mred"), ("x" * 500, "\u732b")]
)
def test_a_figure_of_any_labels(labels):
    page = figure(Image.new("RGB", (40, 30)), graph(labels=labels, predicates=("p\nq",)))
    assert page.width < 4000


def test_the_masks_panel_shows_each_segment_in_its_own_colour():
    page = np.asarray(figure(Image.new("RGB", (40, 30), (90, 90, 90)), graph()))
    left, right = page[100, 16 + 560 + 16 + 60], page[100, 16 + 560 + 16 + 500]
    assert not np.array_equal(left, right)
