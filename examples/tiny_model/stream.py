"""Features and annotation of fresh scenes, made ahead by processes of their own while others are learned from."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spade.data.checks import checked_record
from spade.data.psg import Dataset, Record
from spade.diffusion.backbone import load_backbone
from spade.diffusion.student import LabelContext, Student, load_student
from spade.open_vocabulary.clip import load_clip
from spade.structures.regions import MapRegions
from spade.training.targets import Truth, annotation
from spade.world.annotation import WorldSample, make_sample
from spade.world.dataset import novel_names, psg_record, trained
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

TRIES, STRIDE = 500, 100_000_000  # scenes that are looked at for one without novel things, and how far apart
BLOCK, AHEAD = 32, 4  # scenes that are made at once, and blocks that are made before they are asked for


def dataset_of(setting: str) -> Dataset:
    """A data set without records, as training has it: its lists lack what the setting keeps novel."""
    objects, predicates = novel_names(setting)
    here = Path("psg.json")
    whole = Dataset(here, here.parent, THINGS, STUFF, PREDICATES, (), frozenset(), (), True, (), objects, predicates)
    return whole.for_training()


def record_of(sample: WorldSample, setting: str, name: str) -> Record:
    """A sample as the record of a training annotation, in that data set's numbers."""
    objects, predicates = novel_names(setting)
    # Of the whole annotation: which pairs novel predicates relate is no secret, by which is.
    record, _ = checked_record(psg_record(sample, name, name), THINGS, STUFF, PREDICATES)
    here = Path("psg.json")
    whole = Dataset(here, here.parent, THINGS, STUFF, PREDICATES, (record,), frozenset(), (), True)
    return replace(whole, novel_objects=objects, novel_predicates=predicates).for_training().records[0]


@dataclass(frozen=True)
class Packed:
    """What training needs of one scene, small enough to send: features (C, H, W) fine to coarse and attention (L, h,
    w) as float16, masks as bits.
    """

    features: tuple[np.ndarray, ...]
    attention: np.ndarray
    masks: tuple[np.ndarray, np.ndarray]  # named (N, H, W), unnamed (V, H, W)
    classes: np.ndarray
    triples: np.ndarray

    def truth(self) -> Truth:
        """Its annotation."""
        named, unnamed = (torch.from_numpy(masks).float() for masks in self.masks)
        return Truth(named, torch.from_numpy(self.classes), torch.from_numpy(self.triples), unnamed)


@cache
def opened_student(folder: Path) -> Student:
    """Of the model being built, once a process."""
    device = torch.device("cpu")
    backbone = load_backbone(str(folder / "backbone"), device, torch.float32)
    return load_student(backbone, load_clip(str(folder / "clip"), device), folder / "adapter")


@cache
def _labels(folder: Path, setting: str) -> LabelContext:
    return opened_student(folder).label_context(dataset_of(setting).vocabulary)


def scene_of(setting: str, seed: int, number: int, inductive: bool) -> WorldSample:
    """A scene by its number; ``inductive``: the first, of those that this number leads to, in which no novel thing
    stands, not even without a label.
    """
    novel, _ = novel_names(setting)
    for attempt in range(TRIES):
        sample = make_sample(seed, number + attempt * STRIDE)
        if not inductive or novel.isdisjoint(sample.labels):
            return sample
    raise RuntimeError(f"scene {number}: {TRIES} scenes all had a novel thing")


def made(folder: Path, setting: str, seed: int, numbers: range, inductive: bool = False) -> list[Packed]:
    """Scenes of these numbers."""
    torch.set_num_threads(1)
    student, labels, scenes = opened_student(folder), _labels(folder, setting), []
    for number in numbers:
        sample = scene_of(setting, seed, number, inductive)
        image = Image.fromarray(sample.image)
        seen = student.extract(student.encode(image), labels)
        assert seen.attention is not None
        ids = trained(sample, setting).ids
        record = record_of(sample, setting, str(number))
        regions = MapRegions.of_ids(ids, [segment.id for segment in record.segments])
        truth = annotation(record, regions, image.size, void_counts=True)
        scenes.append(
            Packed(
                tuple(level[0].half().numpy() for level in seen.features),
                seen.attention[0].half().numpy(),
                (truth.masks.numpy(), truth.unnamed.numpy()),
                truth.classes.numpy(),
                truth.triples.numpy(),
            )
        )
    return scenes


class Stream:
    """Scenes by number; those after the ones that are asked for are made meanwhile."""

    def __init__(self, folder: Path, setting: str, seed: int, inductive: bool = False, processes: int = 1) -> None:
        self._arguments, self._inductive = (folder, setting, seed), inductive
        self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
        self._blocks: dict[int, Future[list[Packed]]] = {}

    def __getitem__(self, number: int) -> Packed:
        block = number // BLOCK
        for wanted in range(block, block + 1 + AHEAD):
            if wanted not in self._blocks:
                numbers = range(wanted * BLOCK, (wanted + 1) * BLOCK)
                self._blocks[wanted] = self._pool.submit(made, *self._arguments, numbers, self._inductive)
        for old in [key for key in self._blocks if key < block]:
            self._blocks.pop(old).cancel()
        return self._blocks[block].result()[number % BLOCK]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)
