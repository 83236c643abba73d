"""Can a reader see the relations? 50 pairs, each a picture with the pair outlined and four predicates to choose from.

``python benchmarks/blind.py make FOLDER`` writes ten sheets of five pictures and ``questions.json`` (no answers in it).
``python benchmarks/blind.py score`` compares benchmarks/blind/answers.json with the world and prints the agreement.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spade.world.annotation import WorldSample, make_sample
from spade.world.rules import PREDICATES, RULES, nodes_of

SEED, PAIRS, SIDE, SHOWN = 4_000, 50, 128, 420
ANSWERS = Path(__file__).parent / "blind" / "answers.json"


def questions() -> list[dict]:
    """One pair a scene, predicates drawn evenly; three others that do not hold, at best ones that the two labels can have."""
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
            found.append({"scene": index, "subject": s, "object": o, "options": [options[i] for i in rng.permutation(4)], "truth": name})
        index += 1
    return found


def _others(sample: WorldSample, s: int, o: int, rng: np.random.Generator) -> list[str]:
    nodes = nodes_of(sample.scene)
    subject, target = nodes[sample.node_numbers[s]], nodes[sample.node_numbers[o]]
    wrong = [name for name, rule in RULES.items() if not rule(sample.scene, subject, target)]
    things = [segment[1] < 17 for segment in (sample.segments[s], sample.segments[o])]
    near = [name for name in wrong if _apt(name, things[1], sample.labels[o])]
    order = rng.permutation(len(near))
    chosen = [near[i] for i in order[:3]]
    rest = [name for name in wrong if name not in chosen]
    return chosen + [rest[i] for i in rng.permutation(len(rest))[: 3 - len(chosen)]]


def _apt(name: str, thing: bool, label: str) -> bool:
    """Whether a predicate can be said of such an object at all."""
    ground = ("standing on", "walking on", "running on", "sitting on", "lying on", "on", "parked on", "driving on", "crossing")
    if not thing:
        return name in (*ground, "flying over", "over")
    if label in ("horse", "bicycle", "boat", "bench", "couch", "chair"):
        return name not in ("driving on", "parked on", "crossing", "kicking", "flying over", "driving", "talking to")
    between = ("looking at", "playing with", "talking to", "chasing", "beside", "in front of", "feeding", "holding", "carrying", "kicking")
    return name in between


def make(folder: Path) -> None:
    """Sheets of five pictures, each with its number, its outlines and its options."""
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
    image = Image.fromarray(sample.image).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    pixels = np.asarray(image).copy()
    for number, colour in ((o, (20, 60, 255)), (s, (255, 20, 20))):
        mask = np.asarray(Image.fromarray(sample.ids == sample.segments[number][0]).resize((SHOWN, SHOWN), Image.Resampling.NEAREST))
        grown = mask.copy()
        for _ in range(3):
            wide = grown.copy()
            wide[1:] |= grown[:-1]
            wide[:-1] |= grown[1:]
            wide[:, 1:] |= grown[:, :-1]
            wide[:, :-1] |= grown[:, 1:]
            grown = wide
        edge = grown & ~mask if mask.mean() < 0.3 else _inner(mask)
        pixels[edge] = colour
    return Image.fromarray(pixels)


def _inner(mask: np.ndarray) -> np.ndarray:
    """The inner edge of a large mask, three pixels wide."""
    core = np.pad(mask, 3)
    shrunk = np.ones_like(mask)
    for dy in range(7):
        for dx in range(7):
            shrunk &= core[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return mask & ~shrunk


def score() -> None:
    """Share of the reader's answers that are the world's."""
    said = json.loads(ANSWERS.read_text("utf-8"))
    right = []
    for number, question in enumerate(questions(), 1):
        letter = said["answers"][str(number)]
        answer = question["options"]["ABCD".index(letter)]
        right.append(answer == question["truth"])
        if not right[-1]:
            print(f"{number}: answered {answer}, the world says {question['truth']}")
    print(f"blind_agreement {100 * sum(right) / len(right):.1f} % of {len(right)} ({said['reader']})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
    else:
        score()
