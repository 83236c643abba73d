from __future__ import annotations

import json
import resource
import shutil

import networkx as nx
import pytest

from spade.core.errors import SpadeError
from spade.core.files import write_json
from spade.core.workspace import Workspace
from spade.export.graph_files import FORMATS
from spade.steps import export_graph
from spade.steps.common import Run
from spade.steps.config import ExportConfig
from spade.structures.panoptic_png import write_panoptic
from tests.export.graphs import graph


def saved(folder, *names, **options):
    """Graphs with their maps in a folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        made = graph(file_name=f"{name}.jpg", **options)
        write_panoptic(folder / f"{name}.png", made.ids)
        write_json(folder / f"{name}.json", made.to_json(f"{name}.png"))
    return folder


def exported(tmp_path, **options):
    return export_graph.run(ExportConfig(**options), Run(Workspace(tmp_path / "w")))


@pytest.mark.parametrize("name", FORMATS)
def test_one_graph_several_and_merged(tmp_path, name):
    folder, suffix = saved(tmp_path / "in", "a", "b"), FORMATS[name].suffixes[0]
    one = exported(tmp_path, graphs=(folder / "a.json",), format=name, output=tmp_path / f"one{suffix}")
    assert (tmp_path / f"one{suffix}").is_dir() == (name == "csv")
    if name == "csv":
        assert {p.name for p in (tmp_path / "one").iterdir()} == {"nodes.csv", "edges.csv"}
    several = exported(tmp_path, graphs=(str(folder),), format=name, output=tmp_path / "several")
    made = {p.name for p in (tmp_path / "several").iterdir()}
    assert made == {f"a{suffix}", f"b{suffix}"}
    merged = exported(tmp_path, graphs=(str(folder / "*.json"),), format=name, merge=True, output=tmp_path / "merged")
    assert len(merged.result.files) == len(one.result.files) == len(several.result.files) / 2
    again = exported(tmp_path, graphs=(str(folder / "*.json"),), format=name, merge=True)
    assert again.cached


def test_a_folder_s_other_files_are_passed_over_and_counted(tmp_path, capsys):
    folder = saved(tmp_path / "in", "a")
    (folder / "manifest.json").write_text("{}")
    (folder / "notes.json").write_text('{"version": 1}')
    said = []

    class Report:
        def say(self, message):
            said.append(message)

        def track(self, items, *_, **__):
            return items

    run = Run(Workspace(tmp_path / "w"), Report())
    assert export_graph.run(ExportConfig(graphs=(str(folder),)), run).result.files == ["a.graphml"]
    assert said == [f"skipped: {folder / 'notes.json'}: is no scene graph", "skipped 1 file"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "graphml", "output": "x.gexf"}, r"graphml is written as \.graphml; use `format=gexf`"),
        ({"format": "graphml", "output": "x.txt"}, r"graphml is written as \.graphml; name a folder"),
        ({"format": "csv", "output": "x.dot"}, "csv is written as a folder; use `format=dot`"),
        ({"format": "rdf"}, "unknown graph format"),
        ({"format": "graphml", "output": "x.graphml", "graphs": "several"}, "is one file for 2 graphs"),
        ({"graphs": "nothing*"}, "no scene graph there"),
        ({"graphs": "damaged.json"}, "is not valid json"),
        ({"format": "coco", "output": "in/a.json"}, "is a graph that is read, and would be replaced"),
        ({"format": "node-link", "output": "in"}, "is a graph that is read, and would be replaced"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    folder = saved(tmp_path / "in", "a", "b")
    (tmp_path / "damaged.json").write_text('{"image": 1, "segments": ')
    before = {p: p.read_bytes() for p in folder.iterdir()}
    graphs = {"several": (str(folder),)}.get(options.get("graphs"), (options.get("graphs", "in/a.json"),))
    from pathlib import Path

    chosen = options | {"graphs": graphs, "output": Path(options["output"]) if "output" in options else None}
    with pytest.raises(SpadeError, match=message):
        exported(tmp_path, **chosen)
    assert {p: p.read_bytes() for p in folder.iterdir()} == before
    assert {p.name for p in tmp_path.iterdir()} == {"in", "damaged.json"}


def test_maps_are_read_only_where_a_format_needs_them(tmp_path):
    folder = saved(tmp_path / "in", "a")
    (folder / "a.png").unlink()
    assert exported(tmp_path, graphs=(folder / "a.json",)).result.files == ["a.graphml"]
    with pytest.raises(SpadeError, match=r"a\.png: no such panoptic png"):
        exported(tmp_path, graphs=(folder / "a.json",), format="coco")


def test_centroids_of_older_graphs_come_from_their_maps(tmp_path):
    folder = saved(tmp_path / "in", "a")
    document = json.loads((folder / "a.json").read_text())
    for segment in document["segments"]:
        del segment["centroid"]
        segment["bbox"] = [0, 0, 40, 30]
    write_json(folder / "a.json", document)
    done = exported(tmp_path, graphs=(folder / "a.json",))
    node = nx.read_graphml(done.path / "a.graphml").nodes["1"]
    assert (node["centroid_x"], node["x2"]) == (10.0, 40)


def test_a_graph_that_was_changed_is_written_anew(tmp_path):
    folder = saved(tmp_path / "in", "a")
    exported(tmp_path, graphs=(folder / "a.json",))
    saved(folder, "a", labels=("cat", "sky"))
    again = exported(tmp_path, graphs=(folder / "a.json",))
    assert not again.cached
    assert nx.read_graphml(again.path / "a.graphml").nodes["1"]["label"] == "cat"


@pytest.mark.slow
def test_ten_thousand_graphs_take_little_memory(tmp_path):
    folder = saved(tmp_path / "in", "0")
    text = (folder / "0.json").read_text()
    for number in range(1, 10_000):
        (folder / f"{number}.json").write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = exported(tmp_path, graphs=(str(folder),))
    assert len(done.result.files) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB
    shutil.rmtree(folder)
