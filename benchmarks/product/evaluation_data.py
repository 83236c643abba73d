"""Generated data for evaluation.py: PSG-format ground truth, and predictions in our format and in sgbench's."""

from __future__ import annotations

import gzip
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH, SEGMENTS, ROWS, RELATIONS, CLASSES, THINGS, PREDICATES = 480, 640, 11, 100, 6, 133, 80, 56


def _field(rng: np.random.Generator) -> np.ndarray:
    """A smooth random displacement (H, W), so that borders wind as those of real segments do."""
    coarse = Image.fromarray(rng.normal(0, 1, (15, 20)).astype(np.float32)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.normal(0, 1, (120, 160)).astype(np.float32)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    return 24 * np.asarray(coarse) + 5 * np.asarray(fine)


def _regions(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    y, x = y + _field(rng), x + _field(rng)
    return ((y[None] - points[:, 0, None, None]) ** 2 + (x[None] - points[:, 1, None, None]) ** 2).argmin(0)


def _png(ids: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _classes(sameness: float, rng: np.random.Generator) -> np.ndarray:
    """Classes of an image's segments: each joins an earlier one's class as the Chinese restaurant process has it.

    Expected pairs of segments of one class (each with itself included): 11 + 110 / (1 + ``sameness``).
    """
    groups: list[int] = []
    for index in range(SEGMENTS):
        new = rng.random() < sameness / (sameness + index) if sameness + index > 0 else True
        groups.append(max(groups, default=-1) + 1 if new else groups[int(rng.integers(index))])
    return rng.choice(CLASSES, SEGMENTS, replace=False)[groups]


def write(out: Path, images: int, sameness: float, with_peer: bool = True) -> None:
    """Write ``images`` images: data/psg.json with pngs, predictions.jsonl with pngs, and sgbench's zip."""
    for folder in ("data/panoptic", "pred"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    records, peer = [], []
    names = ([f"class {i}" for i in range(CLASSES)], [f"predicate {i}" for i in range(PREDICATES)])
    archive = zipfile.ZipFile(out / "sgbench.zip", "w") if with_peer else None
    with open(out / "predictions.jsonl", "w") as lines:
        lines.write(
            json.dumps(
                {"format": "spade-predictions", "version": 1, "object_classes": names[0], "predicate_classes": names[1]}
            )
            + "\n"
        )
        for number in range(images):
            rng = np.random.default_rng([7, number])
            points = rng.uniform(0, 1, (SEGMENTS, 2)) * [HEIGHT, WIDTH]
            true, said = _regions(points, rng), _regions(points + rng.normal(0, 22, points.shape), rng)
            ids = rng.choice(1 << 23, 2 * SEGMENTS, replace=False) + 1
            classes = _classes(sameness, rng)
            (out / f"data/panoptic/{number}.png").write_bytes(_png(ids[:SEGMENTS][true]))
            (out / f"pred/{number}.png").write_bytes(_png(ids[SEGMENTS:][said]))
            records.append(_record(str(number), true, ids[:SEGMENTS], classes, rng))
            strengths = rng.uniform(0.5, 1, SEGMENTS).round(4)
            pairs = np.array([(s, o) for s in range(SEGMENTS) for o in range(SEGMENTS) if s != o])
            pairs = pairs[rng.permutation(len(pairs))[:ROWS]]
            scores = rng.dirichlet(np.full(PREDICATES, 0.15), ROWS).round(6)
            for subject, target, predicate in records[-1]["relations"]:
                if rng.random() < 0.6:  # some relations are found, so that the two evaluators' figures can be compared
                    scores[(pairs == (subject, target)).all(1), predicate] += 1
            row = {
                "image_id": str(number),
                "height": HEIGHT,
                "width": WIDTH,
                "pan_seg_file_names": [f"pred/{number}.png"],
                "segments_info": [
                    {"layer": 0, "id": int(i), "category_id": int(c), "isthing": int(c < THINGS), "score": float(s)}
                    for i, c, s in zip(ids[SEGMENTS:], classes, strengths, strict=True)
                ],
                "relations": [
                    {"subject": int(s), "object": int(o), "scores": v.tolist(), "no_relation": 0.1}
                    for (s, o), v in zip(pairs, scores, strict=True)
                ],
            }
            lines.write(json.dumps(row) + "\n")
            if archive is not None:
                order = np.argsort(-(scores.max(1) * strengths[pairs[:, 0]] * strengths[pairs[:, 1]]), kind="stable")
                triplets = np.column_stack([pairs, scores.argmax(1)])[order]
                flat = (scores * (strengths[pairs[:, 0]] * strengths[pairs[:, 1]])[:, None]).ravel()
                best = np.argsort(-flat, kind="stable")[:100]
                free = np.column_stack([pairs[best // PREDICATES], best % PREDICATES])
                buffer = BytesIO()
                masks = (said[None] == np.arange(SEGMENTS)[:, None, None]).astype(np.uint8)
                tifffile.imwrite(buffer, masks, compression="adobe_deflate", photometric="minisblack")
                archive.writestr(f"{number}.tiff", buffer.getvalue())
                notes = [{"category": int(c), "bbox": [0, 0, 1, 1]} for c in classes]
                image = {"id": str(number), "triplets": triplets.tolist(), "ng_triplets": free.tolist()}
                peer.append(image | {"annotation": notes, "seg_filename": f"{number}.tiff"})
    if archive is not None:
        archive.writestr("triplets.json", json.dumps({"version": 1, "images": peer}))
        archive.close()
    _psg(out / "data/psg.json", records, names)


def _record(name: str, true: np.ndarray, ids: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> dict:
    segments, notes = [], []
    for index, (identity, category) in enumerate(zip(ids, classes, strict=True)):
        ys, xs = np.nonzero(true == index)
        box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1] if len(xs) else [0, 0, 1, 1]
        segments.append(
            {
                "id": int(identity),
                "category_id": int(category),
                "iscrowd": 0,
                "isthing": int(category < THINGS),
                "area": len(xs),
            }
        )
        notes.append({"bbox": box, "bbox_mode": 0, "category_id": int(category)})
    relations = [
        [int(s), int((s + 1 + o) % SEGMENTS), int(p)]
        for s, o, p in rng.integers(0, (SEGMENTS, SEGMENTS - 1, PREDICATES), (RELATIONS, 3))
    ]
    record = {"image_id": name, "height": HEIGHT, "width": WIDTH, "file_name": f"images/{name}.jpg"}
    return record | {
        "pan_seg_file_name": f"panoptic/{name}.png",
        "segments_info": segments,
        "annotations": notes,
        "relations": relations,
    }


def _psg(path: Path, records: list[dict], names: tuple[list[str], list[str]]) -> None:
    document = {
        "data": records,
        "thing_classes": names[0][:THINGS],
        "stuff_classes": names[0][THINGS:],
        "predicate_classes": names[1],
    }
    path.write_text(json.dumps(document | {"test_image_ids": [r["image_id"] for r in records]}))


def repeat(source: Path, out: Path, images: int) -> None:
    """A larger set of the same images under new ids: the pngs are those of ``source``."""
    (out / "data").mkdir(parents=True, exist_ok=True)
    document = json.loads((source / "data/psg.json").read_text())
    records = document["data"]
    names = (document["thing_classes"] + document["stuff_classes"], document["predicate_classes"])
    for link, target in (("data/panoptic", source / "data/panoptic"), ("pred", source / "pred")):
        if not (out / link).exists():
            (out / link).symlink_to(target.resolve())
    _psg(out / "data/psg.json", [records[i % len(records)] | {"image_id": str(i)} for i in range(images)], names)
    with open(source / "predictions.jsonl") as lines, open(out / "predictions.jsonl", "w") as larger:
        larger.write(lines.readline())
        rows = lines.readlines()
        for i in range(images):
            larger.write(rows[i % len(rows)].replace(f'"image_id": "{i % len(rows)}"', f'"image_id": "{i}"', 1))


def large_psg(source: Path, out: Path, megabytes: int) -> int:
    """A psg.json of at least this size: the records of ``source`` (a .json.gz) again and again under new ids; their
    count.
    """
    document = json.loads(gzip.decompress(source.read_bytes()))
    rows = [json.dumps(record) for record in document["data"]]
    size, count = 0, 0
    with open(out, "w") as file:
        rest = {key: value for key, value in document.items() if key != "data"}
        file.write(json.dumps(rest)[:-1] + ', "data": [')
        while size < megabytes << 20:
            image_id = document["data"][count % len(rows)]["image_id"]
            text = rows[count % len(rows)].replace(
                f'"image_id": "{image_id}"', f'"image_id": "{image_id}-{count // len(rows)}"', 1
            )
            size += file.write((", " if count else "") + text)
            count += 1
        file.write("]}")
    return count
