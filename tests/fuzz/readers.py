"""Every reader of a file of somebody's, with a small valid file to begin from."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.weights import load_weights, read_tensors, to_bytes
from spade.core.workspace import Workspace
from spade.data.images import read_image
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.evaluation.formats.sources import open_predictions
from spade.models.checkpoint import read_model
from spade.models.config import HeadsConfig
from spade.segmentation.given import GivenSegments
from spade.steps.results import PredictResult
from spade.structures.mask_stack import write_masks
from spade.structures.panoptic_png import ids_to_rgb, png_bytes, read_panoptic, write_panoptic
from spade.structures.scene_graph_json import read_scene_graph
from spade.structures.vocabulary import Vocabulary
from spade.structures.vocabulary_file import user_vocabulary
from tests.evaluation.formats.exchange_files import image, lines
from tests.export.graphs import graph
from tests.fuzz.dataset_readers import DATASETS, Reader, psg


def _panoptic_coco(folder: Path) -> str:
    made = graph(("dog", "sky"), file_name="a.jpg")
    write_panoptic(folder / "a.png", made.ids)
    rows = [{"id": s.id, "category_id": 7 + s.category_id, "isthing": 1} for s in made.segments]
    categories = [{"id": 7, "name": "dog"}, {"id": 8, "name": "sky", "isthing": "0", "supercategory": "x"}]
    annotations = [{"image_id": 1, "file_name": "a.png", "segments_info": rows}]
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": annotations, "categories": categories}
    (folder / "panoptic.json").write_text(json.dumps(document))
    return "panoptic.json"


def _exchange(folder: Path) -> str:
    psg(folder)
    write_masks(folder / "q.png", np.ones((2, 2, 4), bool))
    return lines(load_psg(folder / "psg.json"), image(proposals={"file_name": "q.png", "count": 2})).name


def _sgbench(folder: Path) -> str:
    psg(folder)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.ones((2, 4, 8), np.uint8), photometric="minisblack")
    notes = [{"category": 0, "bbox": [0, 0, 4, 4, 0.9]}, {"category": 1, "bbox": [4, 0, 8, 4, 0.8]}]
    row = {"id": "1", "triplets": [[0, 1, 0]], "ng_triplets": None, "annotation": notes, "seg_filename": "1.tiff"}
    with zipfile.ZipFile(folder / "s.zip", "w") as archive:
        archive.writestr("triplets.json", json.dumps({"version": 1, "images": [row]}))
        archive.writestr("1.tiff", buffer.getvalue())
    return "s.zip"


def _submission(folder: Path) -> str:
    psg(folder)
    segments = [{"id": 5, "category_id": 1}, {"id": 6, "category_id": 2}]
    rows = [{"relations": [[0, 1, 1]], "segments_info": segments, "pan_seg_file_name": "0.png"}]
    (folder / "panseg").mkdir()
    shutil.copy(folder / "m.png", folder / "panseg" / "0.png")
    (folder / "relation.json").write_text(json.dumps(rows))
    return "relation.json"


def _read_predictions(path: Path) -> None:
    dataset = load_psg(path.parent / "psg.json")
    predictions = open_predictions(path, dataset)
    predictions.get(dataset.records[0])
    predictions.fingerprint()


def _scene_graph(folder: Path) -> str:
    graph(("dog", "sky")).save(folder / "g.json")
    return "g.json"


def _vocabulary(folder: Path) -> str:
    text = "# labels\nperson, man (animal)\nstuff: lava\n[predicates]\nholding\n"
    (folder / "v.txt").write_text(text)
    return "v.txt"


def _png(folder: Path) -> str:
    (folder / "p.png").write_bytes(png_bytes(ids_to_rgb(graph().ids)))
    return "p.png"


def _picture(kind: str) -> Callable[[Path], str]:
    def seed(folder: Path) -> str:
        rng = np.random.default_rng(0)
        picture = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
        if kind == "tif":
            tifffile.imwrite(folder / "x.tif", rng.random((6, 8)).astype(np.float32))
        else:
            picture.save(folder / f"x.{kind}")
        return f"x.{kind}"

    return seed


def _model(folder: Path) -> str:
    shutil.copy(embedded_model() / "model.json", folder / "model.json")
    return "model.json"


def _box_model(folder: Path) -> str:
    shutil.copy(embedded_model().parent / "psg-relations" / "model.json", folder / "model.json")
    return "model.json"


def _read_model(path: Path) -> None:
    model = read_model(path.parent)
    if isinstance(getattr(model, "heads", None), HeadsConfig):
        model.heads.to_json()


def _adapter(folder: Path) -> str:
    shutil.copytree(embedded_model() / "adapter", folder, dirs_exist_ok=True)
    return "adapter.json"


@cache
def _parts() -> tuple[Any, Any]:
    from spade.diffusion.backbone import load_backbone
    from spade.open_vocabulary.clip import load_clip

    return load_backbone("tiny", torch.device("cpu"), torch.float32), load_clip("tiny", torch.device("cpu"))


def _read_adapter(path: Path) -> None:
    from spade.diffusion import lora
    from spade.diffusion.student import load_student

    backbone, clip = _parts()
    try:
        load_student(backbone, clip, path.parent)
    finally:
        lora.remove(backbone.unet)


def _manifest(folder: Path) -> str:
    writer = Workspace(folder).writer("predict", 1, {"a": 1})
    writer.begin()
    writer.file("g.json").write_text("{}")
    writer.finish(PredictResult(["g.json"], [], {}, "m").to_json())
    return f"predict/{writer.key}/manifest.json"


def _read_manifest(path: Path) -> None:
    workspace = Workspace(path.parents[2])
    workspace.status()
    newest = workspace.newest("predict")
    if newest is not None:
        PredictResult.of(newest)
    _ = workspace.writer("predict", 1, {"a": 1}).cached


def _tensors(folder: Path) -> str:
    (folder / "t.safetensors").write_bytes(to_bytes({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, {"a": "b"}))
    return "t.safetensors"


def _read_tensors(path: Path) -> None:
    read_tensors(path, "train anew.")
    load_weights(torch.nn.Linear(3, 2), path, "train anew.")


READERS: dict[str, Reader] = {
    **DATASETS,
    "panoptic coco": Reader(_panoptic_coco, lambda path: GivenSegments(path).of("a.jpg", (40, 30))),
    "exchange": Reader(_exchange, _read_predictions),
    "sgbench": Reader(_sgbench, _read_predictions),
    "submission": Reader(_submission, _read_predictions),
    "scene graph": Reader(_scene_graph, read_scene_graph),
    "vocabulary": Reader(_vocabulary, lambda path: user_vocabulary(path, Vocabulary.of(("a",), (), ("p",)))),
    "panoptic png": Reader(_png, lambda path: read_panoptic(path, (40, 30))),
    **{f"picture {kind}": Reader(_picture(kind), read_image) for kind in ("png", "jpg", "gif", "tif", "webp", "bmp")},
    "model.json": Reader(_model, _read_model),
    "model.json of boxes": Reader(_box_model, _read_model),
    "adapter.json": Reader(_adapter, _read_adapter),
    "manifest": Reader(_manifest, _read_manifest),
    "safetensors": Reader(_tensors, _read_tensors),
}


def survives(reader: Reader, folder: Path, name: str, data: bytes) -> bool:
    """Whether reading ends well or with a SpadeError; any other exception goes on. True where it ended well."""
    path = folder / name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(path)
        except SpadeError:
            return False
    return True
