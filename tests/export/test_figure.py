from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spade.core.errors import SpadeWarning
from spade.export import fonts
from spade.export.arrows import HEAD
from spade.export.figure import figure, figure_png
from spade.export.figure_layout import DRAWN, by_pair, layout
from spade.export.figure_svg import figure_svg
from spade.export.names import display_names
from tests.export.graphs import graph, tangled


def overlap(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5


@pytest.mark.parametrize("size", [(40, 30), (30, 300), (900, 40), (1, 1), (4000, 3000)])
def test_a_figure_of_any_image(size):
    page = Image.open(io.BytesIO(figure_png(Image.new("RGB", size, "red"), graph(size=size))))
    assert 380 < page.height < 700
    assert 450 < page.width < 1400


@pytest.mark.parametrize(
    "labels", [(), ("one",), tuple(f"label {i}" for i in range(30)), ("a\nb", "\x1b[31mred"), ("x" * 500, "\u732b")]
)
def test_a_figure_of_any_labels(labels):
    made = graph(labels, ((0, 1, "p\nq"),) if len(labels) > 1 else ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpadeWarning)
        assert figure(Image.new("RGB", (40, 30)), made).width < 1400
        ET.fromstring(figure_svg(Image.new("RGB", (40, 30)), made))


def test_names_are_plain_and_numbered_where_one_occurs_twice():
    made = graph(("person", "sky-other-merged", "person", "wall-brick"), ())
    assert list(display_names(made).values()) == ["person 1", "sky", "person 2", "wall-brick"]


def test_the_eight_best_relations_are_drawn_and_all_are_listed():
    made = tangled()
    plan = layout(made)
    assert len(plan.arrows) == len(by_pair(made.relations, DRAWN)) < DRAWN < len(plan.lines) == len(made.relations)
    both = [words for words in plan.predicates if "," in words]
    assert both, "an ordered pair has one arrow with all of its predicates"


def test_arrows_end_at_their_nodes_and_under_no_word():
    made = tangled()
    plan = layout(made)
    pairs = list(by_pair(made.relations, DRAWN))
    related = {identity for pair in pairs for identity in pair}
    nodes = dict(zip([s.id for s in made.segments if s.id in related], plan.nodes, strict=True))
    for (subject, target), arrow in zip(pairs, plan.arrows, strict=True):
        for identity, end in ((subject, arrow.line[0]), (target, arrow.line[-1])):
            x1, y1, x2, y2 = nodes[identity].box
            away = np.hypot(max(x1 - end[0], 0, end[0] - x2), max(y1 - end[1], 0, end[1] - y2))
            assert 0 < away < 10
        head = arrow.line[np.linalg.norm(arrow.line - arrow.line[-1], axis=1) < HEAD]
        for other in plan.arrows:
            x1, y1, x2, y2 = other.label
            assert not ((head > (x1, y1)) & (head < (x2, y2))).all(1).any()


def test_nodes_and_words_do_not_cover_each_other():
    plan = layout(tangled())
    boxes = [node.box for node in plan.nodes] + [arrow.label for arrow in plan.arrows]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)]


def test_opposite_arrows_are_apart():
    plan = layout(graph(relations=((0, 1, "over"), (1, 0, "under")), size=(400, 300)))
    there, back = (arrow.line[len(arrow.line) // 2] for arrow in plan.arrows)
    assert np.linalg.norm(there - back) > 20


def test_names_on_the_image_lie_inside_it_and_apart():
    plan = layout(tangled(30))
    assert 3 < len(plan.names) <= 30
    for name in plan.names:
        assert plan.image[0] <= name.box[0] < name.box[2] <= plan.image[2]
    boxes = [name.box for name in plan.names]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)]


def test_masks_are_drawn_in_colours_of_their_own():
    made = graph(size=(400, 300))
    page = np.asarray(figure(Image.new("RGB", (400, 300), (90, 90, 90)), made))
    assert not np.array_equal(page[60, 60], page[60, 460])
    assert page[2, 2].tolist() == [255, 255, 255]


def test_png_and_svg_have_one_geometry():
    made = tangled()
    plan, root = layout(made), ET.fromstring(figure_svg(None, made))
    assert (int(root.get("width")), int(root.get("height"))) == figure(None, made).size == plan.size
    texts = [element for element in root.findall(".//{*}text") if element.get("textLength")]
    assert len(texts) == len(plan.names) + len(plan.nodes) + len(plan.arrows)
    pills = [element for element in root.findall(".//{*}rect") if element.get("rx") == "13"]
    assert [float(p.get("x")) for p in pills] == pytest.approx([n.box[0] for n in plan.nodes], abs=0.06)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_drawing_holds_any_text_as_text(label, predicate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpadeWarning)
        text = figure_svg(None, graph((label, "<script>x</script>"), ((0, 1, predicate),)))
    root = ET.fromstring(text)
    assert not list(root.findall(".//{*}script"))
    assert not re.search(r"<script", text)


def test_scripts_that_our_font_lacks_are_drawn_or_noted(monkeypatch):
    (only,) = fonts.typeset("\u0441\u0442\u0440\u0430\u043d\u0430", 15)
    assert only[0] == "\u0441\u0442\u0440\u0430\u043d\u0430"
    mixed = fonts.typeset("\u05db\u05dc\u05d1 eating dog", 15)
    assert "".join(piece for piece, _ in mixed) == "\u05db\u05dc\u05d1 eating dog"
    monkeypatch.setattr(fonts, "_installed", list)
    for cached in (fonts.typeset, fonts._file_for, fonts._tell):
        cached.cache_clear()
    with pytest.warns(SpadeWarning, match="no installed font has all of its characters"):
        pieces = fonts.typeset("dog \u732b", 15)
    assert "".join(piece for piece, _ in pieces) == "dog \u25a1"
    for cached in (fonts.typeset, fonts._file_for, fonts._tell):
        cached.cache_clear()


def test_a_graph_of_boxes_is_drawn_with_boxes():
    from dataclasses import replace

    made = replace(graph(size=(400, 300)), panoptic=None)
    plan = layout(made)
    assert [len(mask.polygons[0][0]) for mask in plan.masks] == [5, 5]
