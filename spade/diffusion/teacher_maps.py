"""The files in which teacher maps are kept: one a batch of pictures, and an index with a row a picture.

For the i-th picture of a batch, fp16: "maps.i" (M, h, w), a map a mention; with ``--keep tokens`` "tokens.i.p" (T, h,
w), one a token of its p-th prompt; with ``--counterfactual`` "wrong.i" (N, h, w), the mentions in prompts made wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import safe_open
from torch import Tensor

from spade.core.errors import SpadeError
from spade.core.weights import to_bytes
from spade.core.workspace import Artifact

Facts = dict[str, Any]


@dataclass(frozen=True)
class KeptMaps:
    """One picture's maps, float32. ``spans`` and ``wrong_spans`` describe the rows of ``maps`` and ``wrong``."""

    image_id: str
    spans: list[Facts]
    maps: Tensor
    tokens: list[Tensor]
    wrong_spans: list[Facts]
    wrong: Tensor


@dataclass
class Page:
    """What is to be kept of one picture, or why there is nothing."""

    image_id: str
    problem: str | None = None
    spans: list[Facts] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)
    tokens: list[Tensor] = field(default_factory=list)
    wrong_spans: list[Facts] = field(default_factory=list)
    wrong: list[Tensor] = field(default_factory=list)


def batch_file(folder: Path, index: int) -> Path:
    """Where the batch of this number is kept."""
    return folder / "maps" / f"{index:06d}.safetensors"


def is_whole(path: Path) -> bool:
    """Whether a batch's file is there and can be read."""
    try:
        with safe_open(path, "pt") as file:
            return "images" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def pack(pages: list[Page], timesteps: tuple[int, ...]) -> bytes:
    """The bytes of a batch's file."""
    tensors: dict[str, Tensor] = {}
    facts = []
    for i, page in enumerate(pages):
        row: Facts = {"image_id": page.image_id, "problem": page.problem, "spans": page.spans}
        if page.maps:
            tensors[f"maps.{i}"] = torch.stack(page.maps).half()
        for number, maps in enumerate(page.tokens):
            tensors[f"tokens.{i}.{number}"] = maps.half()
        if page.wrong:
            tensors[f"wrong.{i}"] = torch.stack(page.wrong).half()
            row["wrong"] = page.wrong_spans
        facts.append(row)
    return to_bytes(tensors, {"images": json.dumps(facts), "timesteps": json.dumps(timesteps)})


def index(folder: Path, batches: int) -> tuple[list[Facts], list[str], list[int]]:
    """One row a picture that has maps, what was wrong with the others, and the timesteps that were read."""
    rows: list[Facts] = []
    problems: list[str] = []
    timesteps: list[int] = []
    for number in range(batches):
        path = batch_file(folder, number)
        with safe_open(path, "pt") as file:
            meta, names = file.metadata(), set(file.keys())
        timesteps = timesteps or json.loads(meta["timesteps"])
        for i, image in enumerate(json.loads(meta["images"])):
            if image["problem"] is not None or not image["spans"]:
                problems.append(
                    image["problem"] or f"image {image['image_id']}: its labels yield no token of the text encoder"
                )
                continue
            row = {"image_id": image["image_id"], "file": path.relative_to(folder).as_posix(), "tensor": f"maps.{i}"}
            if tokens := sorted(
                (n for n in names if n.startswith(f"tokens.{i}.")), key=lambda n: int(n.rsplit(".", 1)[1])
            ):
                row["tokens"] = tokens
            if "wrong" in image:
                row |= {"wrong": f"wrong.{i}", "wrong_spans": image["wrong"]}
            rows.append(row | {"spans": image["spans"]})
    return rows, problems, timesteps


def image_ids(artifact: Artifact) -> list[str]:
    """The pictures that have maps. Raises SpadeError for a damaged cache."""
    with _sound(artifact):
        return [row["image_id"] for row in _rows(artifact)]


def read_maps(
    artifact: Artifact, tokens: bool = True, wrong: bool = True, only: Collection[str] | None = None
) -> Iterator[KeptMaps]:
    """The kept maps, picture by picture, of all pictures or ``only`` these ids. Raises SpadeError for a damaged cache.

    tokens, wrong: whether the maps of all tokens, and those of prompts made wrong, are read at all.
    """
    with _sound(artifact):
        for row in _rows(artifact):
            if only is not None and row["image_id"] not in only:
                continue
            with safe_open(artifact.path / row["file"], "pt") as file:
                maps = file.get_tensor(row["tensor"]).float()
                every = [file.get_tensor(name).float() for name in row.get("tokens", [])] if tokens else []
                told = wrong and "wrong" in row
                false = file.get_tensor(row["wrong"]).float() if told else maps[:0]
            yield KeptMaps(row["image_id"], row["spans"], maps, every, row["wrong_spans"] if told else [], false)


def _rows(artifact: Artifact) -> list[Facts]:
    return [json.loads(line) for line in (artifact.path / "index.jsonl").read_text("utf-8").splitlines()]


@contextmanager
def _sound(artifact: Artifact) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise SpadeError(
            f"{artifact.path}: the map cache is damaged ({type(error).__name__}); run spade invert --force"
        ) from None
