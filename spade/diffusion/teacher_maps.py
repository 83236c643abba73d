"""Teacher maps: where the words of relation prompts look in an image, as one record in memory and on disk.

A file a batch of images and an index with a row an image. For the i-th image of a batch, fp16: "maps.i" (M, h, w), one
map per mention; with ``keep="tokens"`` "tokens.i.p" (T, h, w), one per token of its p-th prompt; with wrong prompts
"wrong.i" (N, h, w), the mentions in prompts made wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import safe_open
from torch import Tensor

from spade.core.artifact import Artifact
from spade.core.errors import SpadeError
from spade.core.weights import to_bytes
from spade.diffusion.prompts import Span

Row = dict[str, Any]


@dataclass(frozen=True)
class SpanMap:
    """One mention: its span, which prompt of the image it stands in, its tokens' positions there, and their mean map
    (h, w), raw attention. Of a span that was read from disk only role, name and segment are known.
    """

    span: Span
    prompt: int
    tokens: tuple[int, ...]
    map: Tensor


@dataclass(frozen=True)
class WrongMap:
    """The map (h, w) of a mention in a prompt made wrong; ``of`` is its place among the image's true spans."""

    kind: str
    of: int
    map: Tensor


@dataclass
class TeacherMaps:
    """What the teacher saw in one image, or the ``problem`` for which there is nothing.

    ``tokens``: for each prompt the maps of all its tokens (T, h, w), padding left out, where they are kept.
    """

    image_id: str
    problem: str | None = None
    spans: list[SpanMap] = field(default_factory=list)
    tokens: list[Tensor] = field(default_factory=list)
    wrong: list[WrongMap] = field(default_factory=list)


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


def pack(images: Sequence[TeacherMaps], timesteps: tuple[int, ...]) -> bytes:
    """The bytes of a batch's file; ``timesteps`` are those at which the maps were read."""
    tensors: dict[str, Tensor] = {}
    rows = []
    for i, image in enumerate(images):
        spans = []
        for span_map in image.spans:
            row: Row = {"role": span_map.span.role, "name": span_map.span.name, "segment": span_map.span.segment}
            spans.append(row | ({"prompt": span_map.prompt, "tokens": list(span_map.tokens)} if image.tokens else {}))
        row = {"image_id": image.image_id, "problem": image.problem, "spans": spans}
        if image.spans:
            tensors[f"maps.{i}"] = torch.stack([span_map.map for span_map in image.spans]).half()
        for number, maps in enumerate(image.tokens):
            tensors[f"tokens.{i}.{number}"] = maps.half()
        if image.wrong:
            tensors[f"wrong.{i}"] = torch.stack([span_map.map for span_map in image.wrong]).half()
            row["wrong"] = [{"kind": span_map.kind, "of": span_map.of} for span_map in image.wrong]
        rows.append(row)
    return to_bytes(tensors, {"images": json.dumps(rows), "timesteps": json.dumps(timesteps)})


def index(folder: Path, batches: int) -> tuple[list[Row], list[str], list[int]]:
    """One row an image that has maps, what was wrong with the others, and the timesteps that were read."""
    rows: list[Row] = []
    problems: list[str] = []
    timesteps: list[int] = []
    for number in range(batches):
        path = batch_file(folder, number)
        with safe_open(path, "pt") as file:
            meta, names = file.metadata(), set(file.keys())
        timesteps = timesteps or json.loads(meta["timesteps"])
        for i, image in enumerate(json.loads(meta["images"])):
            if image["problem"] is not None or not image["spans"]:
                unknown = f"image {image['image_id']}: its labels yield no token of the text encoder"
                problems.append(image["problem"] or unknown)
                continue
            row = {
                "image_id": image["image_id"],
                "file": path.relative_to(folder).as_posix(),
                "tensor": f"maps.{i}",
            }
            tokens = [name for name in names if name.startswith(f"tokens.{i}.")]
            if tokens:
                row["tokens"] = sorted(tokens, key=lambda name: int(name.rsplit(".", 1)[1]))
            if "wrong" in image:
                row |= {"wrong": f"wrong.{i}", "wrong_spans": image["wrong"]}
            rows.append(row | {"spans": image["spans"]})
    return rows, problems, timesteps


def image_ids(artifact: Artifact) -> list[str]:
    """The images that have maps. Raises SpadeError for damaged files."""
    with _sound(artifact):
        return [row["image_id"] for row in _rows(artifact)]


def read_teacher_maps(
    artifact: Artifact, tokens: bool = True, wrong: bool = True, only: Collection[str] | None = None
) -> Iterator[TeacherMaps]:
    """The kept maps in float32, image by image, of all images or ``only`` these ids. Raises SpadeError for damaged
    files.

    tokens, wrong: whether the maps of all tokens, and those of prompts made wrong, are read at all.
    """
    with _sound(artifact):
        for row in _rows(artifact):
            if only is not None and row["image_id"] not in only:
                continue
            with safe_open(artifact.path / row["file"], "pt") as file:
                maps = file.get_tensor(row["tensor"]).float()
                all_tokens = [file.get_tensor(name).float() for name in row.get("tokens", [])] if tokens else []
                false = file.get_tensor(row["wrong"]).float() if wrong and "wrong" in row else ()
            spans = [
                SpanMap(
                    Span(0, 0, facts["role"], facts["name"], facts["segment"]),
                    facts.get("prompt", -1),
                    tuple(facts.get("tokens", ())),
                    map_,
                )
                for facts, map_ in zip(row["spans"], maps, strict=True)
            ]
            facts = row["wrong_spans"] if len(false) else []
            made_wrong = [WrongMap(f["kind"], f["of"], map_) for f, map_ in zip(facts, false, strict=True)]
            yield TeacherMaps(row["image_id"], None, spans, all_tokens, made_wrong)


def _rows(artifact: Artifact) -> list[Row]:
    return [json.loads(line) for line in (artifact.path / "index.jsonl").read_text("utf-8").splitlines()]


@contextmanager
def _sound(artifact: Artifact) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise SpadeError(
            f"{artifact.path}: the teacher maps are damaged ({type(error).__name__}); run spade invert with `force`"
        ) from None
