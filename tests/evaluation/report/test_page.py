"""The page, in a real browser: it renders, needs nothing from elsewhere, and labels stay text."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from spade.evaluation.report.page import comparison_page, page
from spade.evaluation.scoring.evaluator import Evaluator
from tests.evaluation.helpers import TRUE, dataset, predicted, record

EVIL = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


class Said:
    """Predictions held in memory."""

    def __init__(self, images):
        self.images = images

    def get(self, record):
        return self.images.get(record.image_id)


def result(evaluator, **more):
    places = {
        "data": "/data/psg/psg.json",
        "model": None,
        "predictions": "p.jsonl",
        "skipped_images": [],
        "problems": [],
        "boxes": False,
        "open_vocabulary": None,
    }
    return places | evaluator.summary() | more


@pytest.fixture
def html(tmp_path):
    records = [record([(0, 1, 0), (1, 0, 1)], str(i)) for i in range(3)]
    said = {"0": predicted([(0, 1, [1, 0, 0])]), "1": predicted([(0, 1, [0, 0, 1]), (1, 1, [0, 1, 0])])}
    evaluator = Evaluator(dataset(records, things=(EVIL, "b"), predicates=("p", EVIL, "r" * 60)), at=(1, 2))
    for one in records:
        evaluator.add(one, TRUE, said.get(one.image_id))
    path = tmp_path / "report.html"
    path.write_text(page(result(evaluator, problems=[f"image 2: {EVIL}"]), evaluator, Said(said)))
    return path


def browse(path, *options):
    if BROWSER is None:  # a newcomer's machine may have none; .ci/run installs one
        pytest.skip("no Chromium is installed; the page is tested in a real browser")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1200,2600",
    ]
    return subprocess.run(
        [BROWSER, *flags, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_labels_stay_text_in_a_browser(html):
    dom = browse(html, "--dump-dom", "--virtual-time-budget=2000")
    assert "<title>psg, openpsg</title>" in dom, "no script changed the title"
    assert not re.search(r"<script|<img", dom), "the browser made no element of a label"
    assert dom.count("<svg") >= 5, "the curve, and two graphs for each of the two answered images"
    assert "2 images counted" in re.sub(r"</?b>", "", dom)
    assert "&lt;script&gt;" in dom


def test_the_page_is_drawn_and_fits(html, tmp_path):
    browse(html, f"--screenshot={tmp_path / 'shot.png'}")
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).astype(int)
    assert shot.shape == (2600, 1200, 3)
    assert (np.abs(shot - shot[0, 0]).sum(-1) > 60).mean() > 0.01, "there is something on it"
    blue = (np.abs(shot - [37, 99, 168]).sum(-1) < 30).sum()
    assert blue > 500, "bars and arrows are painted"


def test_nothing_sticks_out_on_a_small_screen(html):
    """The browser itself is asked, by a script added to a copy of the page."""
    fits = "document.documentElement.scrollWidth <= innerWidth ? `fits ${innerWidth}` : 'sticks out'"
    script = f"<script>document.title = {fits}</script></body>"
    copy = html.with_name("small.html")
    copy.write_text(html.read_text().replace("</body>", script))
    title = re.search("<title>(.*?)</title>", browse(copy, "--dump-dom", "--window-size=400,800"))[1]
    assert re.fullmatch(r"fits [345]\d\d", title), title


def test_the_page_is_whole_and_light(html):
    text = html.read_text()
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,)', text), "nothing is loaded from elsewhere"
    assert "<script" not in text
    assert len(text) < 60_000


def test_numbers_on_the_page_are_those_of_the_result(tmp_path):
    records = [record([(0, 1, 0), (1, 0, 1), (0, 1, 2)])]
    evaluator = Evaluator(dataset(records), at=(1, 2))
    evaluator.add(records[0], TRUE, said := predicted([(0, 1, [1, 0, 0])]))
    text = page(result(evaluator), evaluator, Said({"1": said}))
    assert "33.3" in text
    assert "a p b: row 1" in text
    assert "b q a: not found" in text


def test_comparison_page():
    records = [record([(0, 1, 0)])]
    rows = []
    for name, scores in (("one", [1, 0, 0]), ("two" + EVIL, [0, 1, 0])):
        evaluator = Evaluator(dataset(records), at=(1,))
        evaluator.add(records[0], TRUE, predicted([(0, 1, scores)]))
        rows.append({"name": name, "problems": [], **evaluator.summary()})
    difference = {
        "R@1": {"difference": -1.0, "ci95": [-1.0, -1.0]},
        "mR@1": None,
        "PQ": {"difference": 0.0, "ci95": None},
    }
    document = {"protocol": "openpsg", "mode": "sgdet", "boxes": False, "systems": rows, "skipped_images": []}
    text = comparison_page(document | {"differences": [{"name": rows[1]["name"], "to": "one", **difference}]})
    assert "<script" not in text
    assert "-100.0" in text
    assert "at K = 1." in text
    rows = {
        name: re.findall(r"<tr>[^/]*?" + name + r".*?</tr>", text, re.S)[0] for name in ("named right", "predicate")
    }
    assert [len(re.findall(r">\s*100\.0\s*<", row)) for row in rows.values()] == [2, 1]
    assert text.count("<circle") == 2
