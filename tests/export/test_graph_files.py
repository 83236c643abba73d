"""Every format is read back by a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import xml.etree.ElementTree as ET

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from spade.core.errors import SpadeError
from spade.export.graph_files import FORMATS, graph_format
from spade.export.networkx_graph import clean, to_networkx
from tests.export import cypher_reader
from tests.export.graphs import graph

TWO = ((0, 1, "under"), (0, 1, "near"), (1, 0, "over"), (1, 2, "over"))
THREE = ("dog", "sky-other-merged", "dog")


def written(name, graphs, merged=False):
    files = FORMATS[name].write(graphs, merged)
    return next(iter(files.values())) if len(files) == 1 else files


def plain(made):
    """Nodes and edges with their attributes, whatever the order of keys."""
    nodes = {node: dict(facts) for node, facts in made.nodes(data=True)}
    edges = sorted((s, o, f["predicate"], f["score"], f["label"]) for s, o, f in made.edges(data=True))
    return nodes, edges


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("name", ["graphml", "gexf", "node-link"])
def test_networkx_reads_back_what_was_written(name, merged, tmp_path):
    graphs = [graph(THREE, TWO), graph(("cat", "road"), ((1, 0, "below"),))] if merged else [graph(THREE, TWO)]
    data = written(name, graphs, merged)
    if name == "graphml":
        back = nx.parse_graphml(data.decode(), force_multigraph=True)
    elif name == "gexf":
        back = nx.read_gexf(io.BytesIO(data))
    else:
        back = nx.node_link_graph(json.loads(data), edges="edges")
    nodes, edges = plain(back)
    expected = {}
    for number, one in enumerate(graphs):
        prefix = f"{number}/" if merged else ""
        expected |= {f"{prefix}{node}": facts for node, facts in to_networkx(one).nodes(data=True)}
    assert nodes == expected
    assert [edge[2] for edge in edges].count("over") == 2
    assert len(edges) == sum(len(one) for one in graphs)
    node = nodes["0/1" if merged else "1"]
    assert node["label"] == "dog"
    assert (node["is_thing"], node["x2"], node["centroid_x"], node["centroid_y"]) == (True, 13, 6.5, 15.0)


@pytest.mark.parametrize("name", ["graphml", "gexf"])
def test_every_edge_has_an_id_of_its_own(name):
    """Gephi takes edges of one id for one edge, yEd shows the last."""
    root = ET.fromstring(written(name, [graph(THREE, TWO)]))
    ids = [edge.get("id") for edge in root.findall(".//{*}edge")]
    assert len(set(ids)) == len(ids) == 4
    if name == "gexf":
        assert [edge.get("label") for edge in root.findall(".//{*}edge")].count("over") == 2


def test_igraph_reads_graphml_with_all_edges(tmp_path):
    (tmp_path / "g.graphml").write_bytes(written("graphml", [graph(THREE, TWO)]))
    back = igraph.Graph.Read_GraphML(str(tmp_path / "g.graphml"))
    assert (back.vcount(), back.ecount()) == (3, 4)
    assert sorted(back.es["predicate"]) == ["near", "over", "over", "under"]
    assert back.vs["label"][0] == "dog"


@pytest.mark.parametrize("merged", [False, True])
def test_graphviz_draws_dot(merged):
    graphs = [graph(('quo"te\\n\\"', "<b>sky</b>", "line\nbreak"), TWO)] * (2 if merged else 1)
    svg = subprocess.run(["dot", "-Tsvg"], input=written("dot", graphs, merged), capture_output=True, check=True)
    assert svg.stderr == b"", "no attribute that means something else to Graphviz"
    root = ET.fromstring(svg.stdout)
    kinds = [group.get("class") for group in root.findall(".//{*}g")]
    assert (kinds.count("node"), kinds.count("edge")) == ((6, 8) if merged else (3, 4))
    texts = [text.text for text in root.findall(".//{*}text")]
    assert {'quo"te\\n\\"', "<b>sky</b>"} <= set(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2), st.text(min_size=1, max_size=12))
def test_cypher_is_one_statement_a_node_and_one_a_relation(labels, predicate):
    made = graph(labels, ((0, 1, predicate), (1, 0, "' }) DETACH DELETE n //")), file_name="it's\\`.png")
    nodes, relations = cypher_reader.read(written("cypher", [made]).decode())
    assert [node["label"] for node in nodes] == [clean(label) for label in labels]
    assert [(s["id"], o["id"], r["predicate"]) for s, o, r in relations] == [
        ("1", "2", clean(predicate)), ("2", "1", "' }) DETACH DELETE n //"),
    ]  # fmt: skip
    assert all(end["image"] == "it's\\`.png" for s, o, _ in relations for end in (s, o))


def test_csv_is_two_tables():
    files = written("csv", [graph(THREE, TWO), graph(("a,b", 'c"'), ((0, 1, "x;y"),))], merged=True)
    nodes = list(csv.DictReader(io.StringIO(files["/nodes.csv"].decode())))
    edges = list(csv.DictReader(io.StringIO(files["/edges.csv"].decode())))
    assert [node["id"] for node in nodes] == ["0/1", "0/2", "0/3", "1/1", "1/2"]
    assert nodes[3]["label"] == "a,b"
    assert (edges[-1]["source"], edges[-1]["target"], edges[-1]["predicate"]) == ("1/1", "1/2", "x;y")
    assert [edge["id"] for edge in edges] == ["0", "1", "2", "3", "4"]
    assert edges[-1]["label"] == "x;y"
    assert written("csv", [graph((), ())])["/nodes.csv"].decode().startswith("id,label,category_id")


def test_pycocotools_reads_coco(tmp_path):
    graphs = [graph(THREE, TWO), graph(("cat", "dog"), ((1, 0, "under"),), file_name="b.png")]
    (tmp_path / "c.json").write_bytes(written("coco", graphs))
    back = COCO(str(tmp_path / "c.json"))
    assert [image["file_name"] for image in back.loadImgs([0, 1])] == ["a.png", "b.png"]
    for number, one in enumerate(graphs):
        for annotation, segment in zip(back.loadAnns(back.getAnnIds([number])), one.segments, strict=True):
            assert np.array_equal(back.annToMask(annotation).astype(bool), one.ids == segment.id)
            assert back.loadCats(annotation["category_id"])[0]["name"] == segment.label
            x, y, w, h = annotation["bbox"]
            assert (x, y, x + w, y + h) == segment.bbox
    document = back.dataset
    names = [category["name"] for category in document["rel_categories"]]
    annotations = {a["id"]: a for a in document["annotations"]}
    said = [
        (annotations[r["subject_id"]]["image_id"], annotations[r["object_id"]]["image_id"], names[r["predicate_id"]])
        for r in document["rel_annotations"]
    ]
    assert said == [(0, 0, "under"), (0, 0, "near"), (0, 0, "over"), (0, 0, "over"), (1, 1, "under")]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_label_gives_files_that_read_back(label, predicate):
    made = graph((label, "sky"), ((0, 1, predicate),))
    back = nx.parse_graphml(written("graphml", [made]).decode(), force_multigraph=True)
    # XML reads \r as \n; all else comes back.
    assert back.nodes["1"]["label"].replace("\n", "") == clean(label).replace("\r", "").replace("\n", "")
    assert nx.read_gexf(io.BytesIO(written("gexf", [made]))).number_of_edges() == 1
    assert json.loads(written("node-link", [made]))["nodes"][0]["label"] == clean(label)


def test_equal_graphs_are_equal_bytes():
    for name in FORMATS:
        assert FORMATS[name].write([graph(THREE, TWO)], False) == FORMATS[name].write([graph(THREE, TWO)], False)


def test_an_unknown_format_is_one_sentence():
    with pytest.raises(SpadeError, match="`format=rdf`: unknown graph format; use graphml, gexf, node-link, dot"):
        graph_format("rdf")
