"""Is the embedded world worth learning in? Counts, context, speed, and how far four learners get on ground-truth pairs.

All on held-out scenes of the closed setting; the learners see the same training scenes:
frequency (label pair only), boxes (gradient boosting on labels and boxes), pixels (a small convolutional network on the
pair's crop, with labels and boxes), layout (gradient boosting on the state of the pair and its three nearest segments,
no rule outputs: the truth must be decidable from it).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from benchmarks.common.results import Results, arguments
from spade.evaluation.scoring.groups import FAR
from spade.world.annotation import CLASSES, WorldSample, make_sample
from spade.world.dataset import VERSION
from spade.world.layout import Scene, Thing
from spade.world.regions import Node, nodes_of
from spade.world.rules import PREDICATES

TRAIN_SEED, HELD_OUT_SEED = 9_001, 9_000
SIDE = 40  # pixels of a pair's crop
POSES = ("standing", "walking", "running", "sitting", "lying", "riding", "flying", "floating", "resting")
ACTS = ("", "talking", "kicking")


def main() -> None:
    """Generate, count, learn."""
    options = arguments(__doc__ or "")
    train_count, test_count, epochs = (400, 200, 1) if options.quick else (20_000, 5_000, 4)
    results = Results("world", options, [TRAIN_SEED, HELD_OUT_SEED], f"world {VERSION}")
    test = _Pairs(HELD_OUT_SEED, test_count)
    if not results.has({"what": "counts", "scenes": test_count}):
        results.add({"what": "counts", "scenes": test_count}, test.counts() | {"scenes_per_second": _speed()})
    if not results.has({"what": "learners", "train": train_count}):
        train = _Pairs(TRAIN_SEED, train_count)
        metrics = {"pairs": len(train.truth), "frequency_top1": _frequency(train, test)}
        metrics["boxes_top1"] = _boosting(train.boxes, train.truth, test.boxes, test.truth, [0, 1])
        metrics["layout_top1"] = _boosting(train.layout, train.truth, test.layout, test.truth, [])
        metrics["pixels_top1"] = _pixels(train, test, epochs)
        results.add({"what": "learners", "train": train_count}, metrics)
    rows = [row["metrics"] for row in results.data["rows"]]
    names = (
        "far_share",
        "context_share",
        "scenes_per_second",
        "frequency_top1",
        "boxes_top1",
        "pixels_top1",
        "layout_top1",
    )
    results.headline(**{name: next(row[name] for row in rows if name in row) for name in names})
    results.show(options)


class _Pairs:
    """Annotated pairs of many scenes: their features for each learner, and the truth."""

    def __init__(self, seed: int, scenes: int) -> None:
        self.scenes = scenes
        self.classes: Counter[str] = Counter()
        self.context = self.far = 0
        self.relations: list[int] = []
        truth, boxes, layout, crops = [], [], [], []
        for index in range(scenes):
            sample = make_sample(seed, index)
            self.classes.update(sample.labels)
            self.relations.append(len(sample.relations))
            self.context += sum(sample.needs_context)
            for s, o, p in sample.relations:
                truth.append(p)
                boxes.append(_box_features(sample, s, o))
                layout.append(_layout_features(sample, s, o))
                crops.append(_crop(sample, s, o))
                self.far += _distance(sample, s, o) > FAR
        self.truth = np.array(truth)
        self.boxes, self.layout, self.crops = (
            np.array(boxes, np.float32),
            np.array(layout, np.float32),
            np.array(crops, np.uint8),
        )

    def counts(self) -> dict[str, object]:
        """What is in the scenes; shares in percent."""
        total = len(self.truth)
        shares = {name: round(100 * float((self.truth == i).mean()), 2) for i, name in enumerate(PREDICATES)}
        per_image = np.array(self.relations)
        return {
            "classes": {name: self.classes[name] for name in CLASSES},
            "predicates": {name: int((self.truth == i).sum()) for i, name in enumerate(PREDICATES)},
            "largest_share": max(shares.values()),
            "smallest_share": min(shares.values()),
            "relations_an_image": {
                "min": int(per_image.min()),
                "mean": round(float(per_image.mean()), 2),
                "max": int(per_image.max()),
            },
            "far_share": round(100 * self.far / total, 2),
            "context_share": round(100 * self.context / total, 2),
        }


def _distance(sample: WorldSample, s: int, o: int) -> float:
    (a, b), width = ((np.array(sample.segments[n][3], float)) for n in (s, o)), sample.scene.width
    return float(np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2)) / width)


def _box_features(sample: WorldSample, s: int, o: int) -> list[float]:
    """Labels, both boxes in shares of the image, offsets, distance, overlap and areas."""
    scale = np.array([sample.scene.width, sample.scene.height] * 2, float)
    (_, first, area, one), (_, second, other_area, other) = sample.segments[s], sample.segments[o]
    a, b = np.array(one) / scale, np.array(other) / scale
    joint = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    offset = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    sizes = [(a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()]
    areas = np.array([area, other_area]) / (scale[0] * scale[1])
    return [first, second, *a, *b, *offset, float(np.hypot(*offset)), joint, *sizes, *areas, a[3] - b[3]]


def _state(scene: Scene, node: Node | None, subject: Node) -> list[float]:
    """A segment's state variables, its place relative to the subject's; no rule is asked."""
    if node is None:
        return [-1.0] * 13
    index = CLASSES.index(node.label)
    if not isinstance(node, Thing):
        return [index, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, node.top, node.bottom]
    left, right = scene.span(node)
    ahead = node.x - subject.x if isinstance(subject, Thing) else node.x
    links = [node.on, node.holds, node.inside]
    ground = CLASSES.index(label) if (label := scene.ground_of(node)) in CLASSES else -1
    numbers = [-1 if link is None else CLASSES.index(scene.things[link].label) for link in links]
    shape = [ahead, node.depth, left, right, node.altitude]
    return [index, POSES.index(node.pose), node.facing, ACTS.index(node.act), ground, *numbers, *shape]


def _layout_features(sample: WorldSample, s: int, o: int) -> list[float]:
    """The pair's state, how the two are linked, and the state of the three segments nearest to the pair."""
    scene, nodes = sample.scene, nodes_of(sample.scene)
    numbers = sample.node_numbers
    subject, target = nodes[numbers[s]], nodes[numbers[o]]
    features = _state(scene, subject, subject) + _state(scene, target, subject)
    features += [
        float(link == numbers[o]) if isinstance(subject, Thing) and link is not None else 0.0
        for link in _links(subject)
    ]
    features += [
        float(link == numbers[s]) if isinstance(target, Thing) and link is not None else 0.0 for link in _links(target)
    ]
    features += [scene.horizon, float(scene.mountain), CLASSES.index(scene.bands[0].label)]
    others = [i for i in range(len(nodes)) if i not in (numbers[s], numbers[o])]
    centre = np.mean([_place(scene, subject), _place(scene, target)], axis=0)
    near = sorted(others, key=lambda i: float(np.hypot(*(_place(scene, nodes[i]) - centre))))[:3]
    for i in [*near, *[None] * (3 - len(near))]:
        node = None if i is None else nodes[i]
        features += _state(scene, node, subject)
        features += (
            [0.0] * 4 if i is None else [float(link) for link in _between(scene, nodes, i, numbers[s], numbers[o])]
        )
    return features


def _links(node: Node) -> list[int | None]:
    return [node.on, node.holds, node.inside] if isinstance(node, Thing) else [None] * 3


def _between(scene: Scene, nodes: tuple[Node, ...], i: int, s: int, o: int) -> Iterator[bool]:
    """Whether a third segment is linked with the pair's."""
    for pair in (s, o):
        yield i in _links(nodes[pair])
        yield pair in _links(nodes[i])


def _place(scene: Scene, node: Node) -> np.ndarray:
    if isinstance(node, Thing):
        return np.array(
            [node.x, scene.ground_y(node.depth) - (node.altitude + scene.size(node)[1] / 2) * scene.unit / scene.height]
        )
    return np.array([0.5, (node.top + node.bottom) / 2])


def _crop(sample: WorldSample, s: int, o: int) -> np.ndarray:
    """(11, SIDE, SIDE): the image around both boxes with the boxes themselves, then around the subject, then the
    object.
    """
    a, b = np.array(sample.segments[s][3]), np.array(sample.segments[o][3])
    union = np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])
    image, xs, ys = _window(sample, union, 0.0)
    inside = [((ys >= box[1]) & (ys < box[3]))[:, None] & ((xs >= box[0]) & (xs < box[2]))[None] for box in (a, b)]
    return np.concatenate(
        [image, 255 * np.array(inside, np.uint8), _window(sample, a, 0.15)[0], _window(sample, b, 0.15)[0]]
    )


def _window(sample: WorldSample, box: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels (3, SIDE, SIDE) of a box with a margin, and the columns and rows that were taken."""
    room = margin * np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    x1, y1, x2, y2 = box + room
    xs = np.clip(np.linspace(x1, x2 - 1, SIDE).round().astype(int), 0, sample.scene.width - 1)
    ys = np.clip(np.linspace(y1, y2 - 1, SIDE).round().astype(int), 0, sample.scene.height - 1)
    return sample.image[ys][:, xs].transpose(2, 0, 1), xs, ys


def _frequency(train: _Pairs, test: _Pairs) -> float:
    """The most frequent predicate of the label pair."""
    counts: dict[tuple[int, int], Counter[int]] = {}
    for row, predicate in zip(train.boxes[:, :2].astype(int), train.truth, strict=True):
        counts.setdefault(tuple(row), Counter())[int(predicate)] += 1
    anything = Counter(train.truth.tolist()).most_common(1)[0][0]
    guess = [
        counts[pair].most_common(1)[0][0] if (pair := tuple(row)) in counts else anything
        for row in test.boxes[:, :2].astype(int)
    ]
    return round(100 * float((np.array(guess) == test.truth).mean()), 2)


def _boosting(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, categories: list[int]) -> float:
    """Top-1 of gradient boosting; a tenth of the training pairs says when to stop."""
    learner = HistGradientBoostingClassifier(
        max_iter=250,
        learning_rate=0.06,
        max_leaf_nodes=31,
        categorical_features=categories or None,
        early_stopping=True,
        random_state=0,
    )
    learner.fit(x, y)
    return round(100 * float((learner.predict(test_x) == test_y).mean()), 2)


def _tower(channels: int) -> nn.Sequential:
    widths = (channels, 32, 64, 96)
    layers = [[nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()] for a, b in pairwise(widths)]
    return nn.Sequential(*(layer for group in layers for layer in group), nn.Flatten())


class _Network(nn.Module):
    """A small convolutional network on the pair's three crops, joined by labels and boxes."""

    def __init__(self, facts: int) -> None:
        super().__init__()
        self.both, self.single = _tower(5), _tower(3)  # one tower looks at subject and object alike
        self.labels = nn.Embedding(len(CLASSES), 16)
        self.decide = nn.Sequential(
            nn.Linear(3 * 96 * 25 + 32 + facts, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, len(PREDICATES))
        )

    def forward(self, crops: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """Scores (B, P) of crops (B, 11, SIDE, SIDE) in [0, 1] and facts (B, F), the first two of which are labels."""
        words = self.labels(facts[:, :2].long()).flatten(1)
        seen = [self.both(crops[:, :5]), self.single(crops[:, 5:8]), self.single(crops[:, 8:])]
        out: torch.Tensor = self.decide(torch.cat([*seen, words, facts[:, 2:]], 1))
        return out


def _pixels(train: _Pairs, test: _Pairs, epochs: int) -> float:
    """Top-1 of the network after a fixed number of epochs."""
    torch.manual_seed(0)
    network = _Network(train.boxes.shape[1] - 2)
    steps = epochs * (len(train.truth) // 128)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(steps, 1))
    order = np.concatenate([np.random.default_rng(epoch).permutation(len(train.truth)) for epoch in range(epochs)])
    for step in range(steps):
        rows = order[step * 128 : (step + 1) * 128]
        scores = network(torch.from_numpy(train.crops[rows]).float() / 255, torch.from_numpy(train.boxes[rows]))
        loss = nn.functional.cross_entropy(scores, torch.from_numpy(train.truth[rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        guess = [
            network(
                torch.from_numpy(test.crops[i : i + 512]).float() / 255, torch.from_numpy(test.boxes[i : i + 512])
            ).argmax(1)
            for i in range(0, len(test.truth), 512)
        ]
    return round(100 * float((torch.cat(guess).numpy() == test.truth).mean()), 2)


def _speed() -> float:
    """Scenes a second at 128 px on one core, without files."""
    began = time.perf_counter()
    for index in range(300):
        make_sample(HELD_OUT_SEED + 1, index)
    return round(300 / (time.perf_counter() - began), 1)


if __name__ == "__main__":
    main()
