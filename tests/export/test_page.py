"""The page in a real browser: every feature that it has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from spade.export.page import MOST, Summary, entry, notebook_html, page, page_names, write_pages
from tests.export.graphs import graph, tangled

RELATIONS = ((0, 1, "under"), (2, 0, "near"), (0, 2, "near"), (3, 1, "under"))
SCENE = graph(("dog", "sky-other-merged", "dog", "road"), RELATIONS, (400, 300), "scene.png")
OTHER = graph(("cat", "road"), ((0, 1, "lying on"),), (300, 400), "other.png")


@pytest.fixture
def opened(tab, tmp_path):
    def show(*graphs, **options):
        (tmp_path / "page.html").write_text(page(graphs, **options), "utf-8")
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_selector(".card ol, .card .empty")
        return tab

    return show


def texts(tab, selector):
    return tab.locator(selector).all_text_contents()


def lit(tab, selector):
    return tab.locator(f"{selector}.lit").count()


def test_segments_nodes_and_relations_are_there(opened):
    tab = opened(SCENE)
    assert tab.locator("path.mask").count() == 4
    assert texts(tab, ".node text") == ["dog 1", "sky", "dog 2", "road"]
    assert texts(tab, "li") == [
        "0.90dog 1 under sky",
        "0.89dog 2 near dog 1",
        "0.88dog 1 near dog 2",
        "0.87road under sky",
    ]
    assert texts(tab, ".plot text").count("near") == 2, "opposite relations have an arrow each"
    assert "1 of 1 images, 4 relations" in tab.locator("#shown").text_content()


@pytest.mark.parametrize("way", ["hover", "focus"])
def test_a_segment_lights_up_its_node_and_its_relations(opened, way):
    tab = opened(SCENE)
    road = tab.locator('path.mask[data-segment="3"]')
    road.hover() if way == "hover" else road.focus()
    assert [part.get_attribute("data-segment") for part in tab.locator(".node.lit").all()] == ["1", "3"]
    assert texts(tab, "li.lit") == ["0.87road under sky"]
    assert lit(tab, "path.mask") == 1
    assert lit(tab, ".edge") == 2, "line and word"
    tab.locator("h1").hover()
    road.blur()
    assert lit(tab, ".node") == 0


def test_a_relation_that_is_clicked_makes_both_ends_stand_out(opened):
    tab = opened(SCENE)
    tab.get_by_role("button", name="dog 2 near dog 1").click()
    tab.locator("h1").hover()
    assert {part.get_attribute("data-segment") for part in tab.locator("path.mask.lit").all()} == {"0", "2"}
    assert {part.get_attribute("data-segment") for part in tab.locator(".node.lit").all()} == {"0", "2"}
    assert tab.locator('li button[aria-pressed="true"]').count() == 1
    tab.get_by_role("button", name="dog 2 near dog 1").click()
    tab.locator("h1").click()
    tab.locator('li button[aria-pressed="true"]').wait_for(state="detached")


def slide(tab, selector, value):
    tab.locator(selector).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", str(value)
    )
    tab.wait_for_timeout(150)


def test_sliders_for_score_and_number(opened):
    tab = opened(SCENE)
    slide(tab, "#score", 0.885)
    assert len(texts(tab, "li")) == 2
    assert tab.locator("#score-value").text_content() in ("0.89", "0.88")
    slide(tab, "#score", 0)
    slide(tab, "#count", 1)
    assert texts(tab, "li") == ["0.90dog 1 under sky"]
    assert texts(tab, ".node:not(.alone) text") == ["dog 1", "sky"]
    assert texts(tab, ".node.alone text") == ["dog 2", "road"], "where they are few all segments have nodes"


def test_filters_by_predicate_and_label_and_search(opened):
    tab = opened(SCENE, OTHER)
    assert texts(tab, "#predicate option") == ["all", "lying on", "near", "under"]
    assert texts(tab, "#label option") == ["all", "cat", "dog", "road", "sky"]
    tab.select_option("#predicate", "near")
    tab.wait_for_timeout(150)
    assert len(texts(tab, "li")) == 2
    assert tab.locator(".card:visible").count() == 1
    tab.select_option("#predicate", "")
    tab.select_option("#label", "road")
    tab.wait_for_timeout(150)
    assert [text[4:] for text in texts(tab, "li")] == ["road under sky", "cat lying on road"]
    tab.select_option("#label", "")
    tab.fill("#search", "cat ly")
    tab.wait_for_timeout(150)
    assert [card.get_attribute("aria-label") for card in tab.locator(".card:visible").all()] == ["other.png"]
    tab.fill("#search", "scene.p")
    tab.wait_for_timeout(150)
    assert len(tab.locator(".card:visible li").all()) == 4


def test_table_view(opened):
    tab = opened(SCENE)
    tab.click("#table")
    assert tab.locator("ol").count() == 0
    rows = tab.locator("tbody tr").all()
    assert [cell.text_content() for cell in rows[1].locator("td").all()] == ["0.890", "dog 2", "near", "dog 1"]
    assert tab.locator("#table").get_attribute("aria-pressed") == "true"
    rows[1].locator("button").click()
    tab.locator("h1").hover()
    assert {part.get_attribute("data-segment") for part in tab.locator(".node.lit").all()} == {"0", "2"}
    assert lit(tab, "tr") == 1
    tab.click("#table")
    assert tab.locator("ol").count() == 1


def test_dark_mode(opened):
    tab = opened(SCENE)
    ground = "() => getComputedStyle(document.querySelector('header')).backgroundColor"
    light = tab.evaluate(ground)
    tab.click("#theme")
    dark = tab.evaluate(ground)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(23, 25, 30)")
    tab.emulate_media(color_scheme="dark")
    tab.reload()
    tab.wait_for_selector(".node")
    assert tab.evaluate(ground) == dark


def test_zoom_by_buttons_wheel_and_dragging(opened):
    tab = opened(SCENE)
    view = lambda: [float(v) for v in tab.locator("svg.image").get_attribute("viewBox").split()]  # noqa: E731
    assert view() == [0, 0, 400, 300]
    tab.get_by_role("button", name="zoom in").click()
    assert view() == pytest.approx([60, 45, 280, 210])
    box = tab.locator("svg.image").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + box["height"] / 2)
    tab.mouse.up()
    assert view()[0] < 60
    tab.mouse.move(5, 5)
    assert tab.locator("article.lighting").count() == 0, "the end of a drag is no click"
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.keyboard.down("Control")
    tab.mouse.wheel(0, -100)
    tab.keyboard.up("Control")
    tab.wait_for_timeout(100)
    assert view()[2] < 280
    tab.get_by_role("button", name="whole image").click()
    assert view() == [0, 0, 400, 300]
    tab.get_by_role("button", name="zoom out").click()
    assert view() == [0, 0, 400, 300]


def test_every_node_and_relation_is_reached_by_tab(opened):
    tab = opened(SCENE)
    reached = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate(
                "() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )
    names = ("dog 1", "sky", "dog 2", "road")
    assert {f"{name}, node" for name in names} | {f"{name}, segment" for name in names} <= reached
    relations = ("dog 1 under sky, 0.90", "dog 2 near dog 1, 0.89", "dog 1 near dog 2, 0.88", "road under sky, 0.87")
    assert set(relations) <= reached
    tab.locator('.node[data-segment="3"]').focus()
    tab.keyboard.press("Enter")
    tab.locator('.node[data-segment="3"]').blur()
    assert lit(tab, ".node") == 2, "a key pins as a click does"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("as_table", [False, True])
def test_axe_finds_nothing_serious(opened, scheme, as_table):
    tab = opened(SCENE, OTHER, tangled(), title="three graphs", note="segments traced by hand")
    if scheme == "dark":
        tab.click("#theme")
    if as_table:
        tab.click("#table")
    found = Axe().run(tab).response["violations"]
    assert [
        (rule["id"], rule["nodes"][0]["html"][:200]) for rule in found if rule["impact"] in ("serious", "critical")
    ] == []


def test_a_script_as_a_label_does_nothing(opened):
    evil = "<script>document.title='evil'</script>"
    made = graph(
        (evil, '"><img src=x onerror=document.title=1>', "</script><b>x"), ((0, 1, evil), (2, 0, "</svg>&amp;"))
    )
    tab = opened(replace(made, file_name=evil), title=evil, note=evil)
    assert tab.title() == evil
    assert tab.locator("img, b").count() == 0
    assert any("</script><b>x" in text for text in texts(tab, "li"))
    tab.click("#table")
    assert tab.title() == evil


def test_a_hundred_images_are_drawn_as_they_come_into_view(opened):
    many = [replace(tangled(14), file_name=f"{n}.png", image=Image.new("RGB", (640, 480), "teal")) for n in range(100)]
    tab = opened(*many)
    assert tab.locator(".card").count() == 100
    assert 1 < tab.locator(".card .plot").count() < 12
    tab.locator(".card").last.scroll_into_view_if_needed()
    tab.locator(".card").last.locator(".node").first.wait_for()
    assert len(entry(many[0])) < 200_000


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(tab, tmp_path):
    html = notebook_html(SCENE)
    assert html == SCENE._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><meta charset=utf-8>{html}", "utf-8")
    tab.goto((tmp_path / "notebook.html").as_uri())
    assert tab.frame_locator("iframe").locator(".node").first.text_content() == "dog 1"


def test_more_than_a_thousand_images_are_several_pages(tab, tmp_path):
    assert page_names(MOST) == ["page.html"]
    part, summary = entry(OTHER), Summary.of(OTHER)
    names = write_pages(tmp_path, ["x"] * (MOST + 1), lambda _: part, lambda _: summary, "many", "")
    assert names == ["page.html", "page-2.html"]
    tab.goto((tmp_path / "page-2.html").as_uri())
    tab.wait_for_selector(".node")
    assert tab.locator(".card").count() == 1
    assert texts(tab, "nav a") == ["1", "2"]
    assert tab.locator("nav a[aria-current]").text_content() == "2"
    tab.click("nav a >> nth=0")
    tab.wait_for_selector(".node")
    assert tab.locator(".card").count() == MOST


def test_summaries_of_graphs_and_of_their_json_are_one():
    one, other = Summary.of(SCENE), Summary.of_json(SCENE.to_json("x.png"))
    assert vars(one) == vars(other)
