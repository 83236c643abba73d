"""Can a reader see the relations? 50 pairs, each an image with the pair outlined and four predicates to choose from.

``python -m benchmarks.world.blind make FOLDER`` writes ten sheets of five images and ``questions.json``, which has no
answers.
``python -m benchmarks.world.blind`` compares blind_answers.json with the world and keeps the agreement, beside
that of a reader who knows the two labels only and says what is most frequent between such.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.common.results import Results, arguments
from spade.world.annotation import WorldSample, make_sample
from spade.world.dataset import VERSION
from spade.world.layout import THINGS
from spade.world.regions import nodes_of
from spade.world.rules import PREDICATES, RULES

SEED, PAIRS, SIDE, SHOWN = 4_100, 50, 128, 420
COUNTED_SEED, COUNTED = 4_101, 4_000  # the scenes in which it is counted what occurs between which labels
ANSWERS = Path(__file__).parent / "blind_answers.json"


def questions() -> list[dict]:
    """One pair a scene, predicates drawn evenly; the three others do not hold and are, as far as there are such, said
    of these labels.
    """
    rng = np.random.default_rng(SEED)
    found: list[dict] = []
    wanted = [PREDICATES[i % len(PREDICATES)] for i in range(PAIRS)]
    index = 0
    while len(found) < PAIRS:
        sample = make_sample(SEED, index, SIDE, SIDE)
        told = [(s, o, PREDICATES[p]) for s, o, p in sample.relations if PREDICATES[p] == wanted[len(found)]]
        if told:
            s, o, name = told[int(rng.integers(len(told)))]
            options = [name, *_others(sample, s, o, rng)]
            labels = (sample.labels[s], sample.labels[o])
            question = {"scene": index, "subject": s, "object": o, "labels": labels, "truth": name}
            found.append(question | {"options": [options[i] for i in rng.permutation(4)]})
        index += 1
    return found


@cache
def _counts() -> Counter[tuple[str, str, str]]:
    """How often each triple is annotated."""
    return Counter(
        triple for index in range(COUNTED) for triple in make_sample(COUNTED_SEED, index, SIDE, SIDE).triples
    )


def _others(sample: WorldSample, s: int, o: int, rng: np.random.Generator) -> list[str]:
    """Three predicates that do not hold: at best said of this pair of labels, then of each of the two, then of such
    kinds.
    """
    nodes = nodes_of(sample.scene)
    subject, target = nodes[sample.node_numbers[s]], nodes[sample.node_numbers[o]]
    wrong = [name for name, rule in RULES.items() if not rule(sample.scene, subject, target)]
    one, other = sample.labels[s], sample.labels[o]
    kinds = (one in THINGS, other in THINGS)
    alike = [(a, name, b) for a, name, b in _counts() if (a in THINGS, b in THINGS) == kinds]
    tiers: tuple[Iterable[str], ...] = (
        {name for a, name, b in alike if (a, b) == (one, other)},
        {name for a, name, _ in alike if a == one} & {name for _, name, b in alike if b == other},
        {name for a, name, _ in alike if a == one},
        {name for _, name, _ in alike},
        PREDICATES,
    )
    chosen: list[str] = []
    for tier in tiers:
        fresh = [name for name in wrong if name in tier and name not in chosen]
        chosen += [fresh[i] for i in rng.permutation(len(fresh))[: 3 - len(chosen)]]
    return chosen


def make(folder: Path) -> None:
    """Sheets of five images, each with its number, its outlines and its options."""
    folder.mkdir(parents=True, exist_ok=True)
    font = ImageFont.load_default(18)
    asked = questions()
    for sheet in range(PAIRS // 5):
        page = Image.new("RGB", (5 * (SHOWN + 12), SHOWN + 130), "white")
        paint = ImageDraw.Draw(page)
        for column, question in enumerate(asked[sheet * 5 : sheet * 5 + 5]):
            sample = make_sample(SEED, question["scene"], SIDE, SIDE)
            x = column * (SHOWN + 12)
            page.paste(_outlined(sample, question["subject"], question["object"]), (x, 26))
            paint.text((x + 4, 2), f"{sheet * 5 + column + 1}: red (subject) ? blue (object)", "black", font)
            for line, option in enumerate(question["options"]):
                paint.text((x + 4, SHOWN + 32 + 22 * line), f"{'ABCD'[line]}  {option}", "black", font)
        page.save(folder / f"sheet-{sheet + 1:02d}.png")
    shown = [{"number": i + 1, "options": dict(zip("ABCD", q["options"], strict=True))} for i, q in enumerate(asked)]
    (folder / "questions.json").write_text(json.dumps(shown, indent=1))


def _outlined(sample: WorldSample, s: int, o: int) -> Image.Image:
    """The object in blue, the subject in red: outlined from outside, large segments from inside."""
    image = Image.fromarray(sample.image).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    for number, colour in ((o, (20, 60, 255)), (s, (255, 20, 20))):
        own = sample.ids == sample.segments[number][0]
        mask = Image.fromarray(own.astype(np.uint8) * 255).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
        large = own.mean() >= 0.3
        other = np.asarray(mask.filter(ImageFilter.MinFilter(7) if large else ImageFilter.MaxFilter(7)))
        image.paste(colour, mask=Image.fromarray(np.asarray(mask) ^ other))
    return image


def score() -> None:
    """Share of the reader's answers that are the world's."""
    options = arguments(__doc__ or "")
    said = json.loads(ANSWERS.read_text("utf-8"))
    asked = questions()
    right = []
    for number, question in enumerate(asked, 1):
        answer = question["options"]["ABCD".index(said["answers"][str(number)])]
        right.append(answer == question["truth"])
        if not right[-1]:
            print(f"{number}: answered {answer}, the world says {question['truth']}", file=sys.stderr)
    guessed = [
        max(q["options"], key=lambda name, q=q: _counts()[q["labels"][0], name, q["labels"][1]]) == q["truth"]
        for q in asked
    ]
    results = Results("blind", options, [SEED], f"world {VERSION}")
    agreement, labels_only = (round(100 * sum(hits) / PAIRS, 1) for hits in (right, guessed))
    results.add(
        {"world": VERSION, "reader": said["reader"], "pairs": PAIRS},
        {"agreement": agreement, "labels_only": labels_only},
    )
    results.headline(blind_agreement=agreement)
    results.show(options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
    else:
        score()
