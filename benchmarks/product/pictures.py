"""The pictures of the README and the manual: the example portrait, a scene of the world, the page in light and dark.

``python -m benchmarks.product.pictures`` writes them into docs/images.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from benchmarks.product.predict import ARGUMENTS
from spade.core.workspace import Workspace
from spade.data.example_photos import SEGMENTS, write_examples
from spade.export.page import page
from spade.steps import predict
from spade.steps.common import Run
from spade.steps.config import PredictConfig
from spade.structures.scene_graph import SceneGraph
from spade.world.annotation import make_sample

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCENE = (21, 29)  # seed and number


def main() -> None:
    """Predict, draw, take pictures of the page."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_examples(folder / "photos")
        portrait = _graph(folder, "photos/portrait.jpg", folder / "photos" / SEGMENTS)
        Image.fromarray(make_sample(*SCENE).image).save(folder / "scene.png")
        scene = _graph(folder, "scene.png", None)
        for name, graph in (("portrait", portrait), ("scene", scene)):
            graph.plot().save(IMAGES / f"{name}.jpg", quality=86)
        text = page([portrait, scene], "2 scene graphs", "the portrait's segments are traced by hand")
        (folder / "page.html").write_text(text, "utf-8")
        _screenshots(folder / "page.html")


def _graph(folder: Path, name: str, segments: Path | None) -> SceneGraph:
    config = PredictConfig(images=(str(folder / name),), segments=segments)
    done = predict.run(config, Run(Workspace(folder / "w")))
    graph = SceneGraph.open(done.path / done.result.graphs[0])
    return replace(graph, image=Image.open(folder / name).convert("RGB"))


def _screenshots(path: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1180, "height": 900})
        for name, scheme in (("page", "light"), ("page-dark", "dark")):
            tab.emulate_media(color_scheme=scheme)
            tab.goto(path.as_uri())
            tab.wait_for_selector(".node")
            tab.locator("li button").first.click()
            tab.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=82)
        browser.close()


if __name__ == "__main__":
    main()
