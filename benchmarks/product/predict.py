"""What a picture costs from file to files with the packaged model, warm: networks, all else, figure, page.

``outside_share`` is the part of the time that the networks do not run, without figure and page; reading and writing
overlap with them. Scenes of the embedded world at 128 pixels, whole calls of the step that ``spade predict`` runs.
``page_100_s``: from opening a page of a hundred of them in headless Chromium until each was scrolled into view and its
graph drawn.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common.results import Results, arguments, spread
from spade.core.workspace import Workspace
from spade.diffusion.backbone_files import embedded_model
from spade.export.figure import figure_png
from spade.export.page import entry, page
from spade.models.checkpoint import read_model
from spade.models.predictor import SceneGraphPredictor
from spade.steps import predict
from spade.steps.common import Run
from spade.steps.config import PredictConfig
from spade.structures.scene_graph import SceneGraph
from spade.structures.scene_graph_json import read_scene_graph
from spade.world.annotation import make_sample

SEED = 8_600
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Rounds of all measurements in turn."""
    options = arguments(__doc__ or "")
    results = Results("predict", options, [SEED], read_model(embedded_model()).fingerprint())
    images, rounds = (8, 2) if options.quick else (64, 5)
    if not results.data["rows"]:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "scenes").mkdir()
            for number in range(images):
                Image.fromarray(make_sample(SEED, number).image).save(folder / "scenes" / f"{number:03}.png")
            with warm_model() as networks:
                _measure(results, folder, networks, rounds)
            graphs = [_graph(folder, path) for path in sorted((folder / "kept").glob("*.json"))]
            _drawings(results, folder, graphs, rounds)
    rows = {row["setting"]["what"]: row["metrics"] for row in results.data["rows"]}
    results.headline(
        images_per_second=rows["with figure and page"]["images per second"]["mean"],
        outside_share=rows["without figure and page"]["outside the networks, percent"]["mean"],
        figure_s=rows["figure"]["seconds"]["mean"],
        page_kb=rows["page"]["kB an image, without its jpeg"]["mean"],
        page_100_s=rows["a page of 100"]["seconds"]["mean"] if "a page of 100" in rows else None,
    )
    results.show(options)


class Networks:
    """Seconds that the networks ran."""

    seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, on the clock."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return call


@contextmanager
def warm_model() -> Iterator[Networks]:
    """All calls within share one loaded predictor, whose networks are on the clock."""
    from spade.models import load

    networks, real, loaded = Networks(), load.open_model, {}

    def open_once(*args: Any) -> SceneGraphPredictor:
        if "model" not in loaded:
            model = real(*args)
            model.student.encode = networks.timed(model.student.encode)
            model.student.extract = networks.timed(model.student.extract)
            model.student.clip.embed_cells = networks.timed(model.student.clip.embed_cells)
            model.heads.proposer.forward = networks.timed(model.heads.proposer.forward)
            model.heads.relations.relate = networks.timed(model.heads.relations.relate)
            loaded["model"] = model
        return loaded["model"]

    load.open_model = open_once
    try:
        yield networks
    finally:
        load.open_model = real


def _measure(results: Results, folder: Path, networks: Networks, rounds: int) -> None:
    count = len(list((folder / "scenes").iterdir()))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    outside = []
    for number in range(rounds + 1):  # the first warms up
        for drawn in (False, True):
            networks.seconds, began = 0.0, time.perf_counter()
            config = PredictConfig(images=(str(folder / "scenes"),), figures=drawn, page=drawn, output=folder / "kept")
            predict.run(config, Run(Workspace(folder / f"w{number}{drawn}")))
            took = time.perf_counter() - began
            shutil.rmtree(folder / "kept") if number < rounds or not drawn else None
            if number:
                seconds[drawn].append(took)
                outside += [] if drawn else [100 * (took - networks.seconds) / took]
    for drawn, name in ((False, "without figure and page"), (True, "with figure and page")):
        metrics = {"images per second": spread([count / took for took in seconds[drawn]])}
        if not drawn:
            metrics["outside the networks, percent"] = spread(outside)
        results.add({"what": name, "images": count}, metrics)


def _graph(folder: Path, path: Path) -> SceneGraph:
    graph = read_scene_graph(path)
    return replace(graph, image=Image.open(folder / "scenes" / graph.file_name).convert("RGB"))


def _drawings(results: Results, folder: Path, graphs: list[SceneGraph], rounds: int) -> None:
    for graph in graphs[:3]:
        figure_png(None, graph)
    large = [_enlarged(graph) for graph in graphs[:8]]
    for name, chosen in (("figure", graphs), ("figure, 640 x 480", large)):
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            for graph in chosen:
                figure_png(None, graph)
            times.append((time.perf_counter() - began) / len(chosen))
        results.add({"what": name}, {"seconds": spread(times)})
    parts = [entry(graph) for graph in graphs]
    kilobytes = [(len(part) - len(part.partition('class="photo">')[2])) / 1000 for part in parts]
    whole = [len(part) / 1000 for part in parts]
    metrics = {"kB an image, without its jpeg": spread(kilobytes), "kB an image": spread(whole)}
    results.add({"what": "page"}, metrics)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is not None:
        hundred = [replace(graphs[n % len(graphs)], file_name=f"{n}.png") for n in range(100)]
        (folder / "page.html").write_text(page(hundred), "utf-8")
        times = [_opened(chromium, (folder / "page.html").as_uri()) for _ in range(max(1, rounds // 2))]
        results.add({"what": "a page of 100"}, {"seconds": spread(times), "MB": _megabytes(folder / "page.html")})


def _enlarged(graph: SceneGraph) -> SceneGraph:
    """At the size of a photograph, with its pixels' edges and noise of its own."""
    assert graph.image is not None
    image = graph.image.resize((640, 480), Image.Resampling.BICUBIC)
    noise = Image.effect_noise((640, 480), 24).convert("RGB")
    ids = Image.fromarray(graph.ids.astype(np.int32)).resize((640, 480), Image.Resampling.NEAREST)
    scale = 640 / graph.width, 480 / graph.height
    segments = tuple(
        replace(
            s,
            bbox=tuple(round(v * scale[i % 2]) for i, v in enumerate(s.bbox)),
            area=round(s.area * scale[0] * scale[1]),
        )
        for s in graph.segments
    )
    panoptic = np.asarray(ids).astype(np.uint32)
    return replace(
        graph, width=640, height=480, segments=segments, panoptic=panoptic, image=Image.blend(image, noise, 0.2)
    )


def _opened(chromium: str, address: str) -> float:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        tab.goto(address)
        cards = tab.locator(".card")
        for number in range(0, cards.count(), 2):
            cards.nth(number).scroll_into_view_if_needed()
        cards.last.scroll_into_view_if_needed()
        tab.wait_for_function("() => document.querySelectorAll('.card .plot').length === 100")
        took = time.perf_counter() - began
        browser.close()
    return took


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)


if __name__ == "__main__":
    main()
