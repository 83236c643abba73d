"""Segments from a panoptic model that transformers loads: Mask2Former, MaskFormer, OneFormer or EoMT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from spade.core.errors import SpadeError
from spade.core.quiet import hushed
from spade.segmentation.panoptic import PanopticRules, panoptic_map
from spade.segmentation.segmenter_files import resolve_segmenter
from spade.structures.panoptic_png import spread_id
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.segment_map import measured
from spade.structures.vocabulary import Label, named_label, psg_lists

# What these models are published with; EoMT is surer of its queries.
RULES = PanopticRules(min_score=0.5, min_overlap=0.8, mask_confidence=False, suppression=1.0)
RULES_OF = {"eomt": replace(RULES, min_score=0.8)}
_TASK = "panoptic"


class PretrainedSegmenter:
    """Images to segments with labels and scores; ``labels`` are all that the model knows, in its order.

    known: labels of a vocabulary; where they have a name, they say whether it is a thing or stuff. Of others COCO's
    list does.
    """

    def __init__(self, source: str, device: torch.device, known: Sequence[Label] = ()) -> None:
        folder = resolve_segmenter(source)
        self.source, self.device = source, device
        self.model, self._processor, self._task = _loaded(folder, device)
        self.labels = _labels(folder, self.model.config, known)
        self._rules = RULES_OF.get(self.model.config.model_type, RULES)
        self._pads_below_and_right = self.model.config.model_type == "eomt" and bool(self._processor.do_pad)
        self._is_thing = torch.tensor([label.is_thing for label in self.labels], device=device)

    @torch.no_grad()
    def __call__(self, image: Image.Image, name: str = "") -> SceneGraph:
        """The image's segments as a graph without relations. Post-processing is ours
        (spade.segmentation.panoptic).
        """
        inputs = self._inputs(image, name)
        known = inputs if not self._pads_below_and_right else {"pixel_values": inputs["pixel_values"]}
        outputs = self.model(**known)
        probabilities = outputs.class_queries_logits[0].float().softmax(-1)
        masks = without_padding(outputs.masks_queries_logits[0].float(), inputs)
        numbers, chosen = panoptic_map(masks, probabilities, self._is_thing, image.size, self._rules)
        identities = np.array([0, *(spread_id(n) for n in range(len(chosen)))], np.uint32)
        segments = []
        for identity, proposal in zip(identities[1:].tolist(), chosen, strict=True):
            label = self.labels[proposal.category]
            segments.append(
                Segment(identity, label.name, proposal.category, label.is_thing, proposal.score, (0, 0, 0, 0), 0)
            )
        names = tuple(label.name for label in self.labels)
        found = measured(segments, numbers)
        return SceneGraph(name, image.width, image.height, found, (), names, (), identities[numbers])

    def _inputs(self, image: Image.Image, name: str) -> dict[str, Tensor]:
        """Raises SpadeError, naming the image, where the processor cannot take it: too narrow a one, say."""
        try:
            if self._task is None:
                made = dict(self._processor(images=image, return_tensors="pt"))
            else:
                made = dict(self._processor(image, [_TASK], return_tensors="pt")) | {"task_inputs": self._task}
        except Exception as error:  # of any kind, by processor and size
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            size = f"{image.width} x {image.height}"
            raise SpadeError(
                f"{name or 'an image'}: {self.source} cannot prepare an image of {size} ({reason}); leave it out or "
                "give its segments."
            ) from None
        if self._pads_below_and_right:
            made["pixel_mask"] = self._valid(image, made["pixel_values"])
        names = ("pixel_values", "pixel_mask", "task_inputs")  # a mask that the model does not take stays ours
        return {name: value.to(self.device) for name, value in made.items() if name in names}

    def _valid(self, image: Image.Image, pixels: Tensor) -> Tensor:
        """Where the input is image and not padding (1, H, W), of a processor that does not say so itself."""
        from transformers.image_transforms import get_size_with_aspect_ratio

        size = self._processor.size
        height, width = get_size_with_aspect_ratio(
            (image.height, image.width), size["shortest_edge"], size["longest_edge"]
        )
        valid = torch.zeros(1, *pixels.shape[-2:], dtype=torch.bool)
        valid[:, :height, :width] = True
        return valid


def without_padding(masks: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """Mask logits (Q, h, w) at the size of the model's input, without what the processor padded below and to the
    right.
    """
    valid = inputs.get("pixel_mask")
    if valid is None or bool(valid.bool().all()):
        return masks
    padded = interpolate(masks[None], size=inputs["pixel_values"].shape[-2:], mode="bilinear", align_corners=False)[0]
    rows, columns = valid[0].bool().any(1), valid[0].bool().any(0)
    return padded[:, : int(rows.sum()), : int(columns.sum())]


def _loaded(folder: Path, device: torch.device) -> tuple[Any, Any, Tensor | None]:
    """The model, its image processor and, for a model that is told its task in words, that task's tokens."""
    from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    try:
        with hushed(transformers_logging):
            model, loading = AutoModelForUniversalSegmentation.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
            task, extra = None, {}
            if getattr(
                model.config, "task_seq_len", None
            ):  # OneFormer; its processor would fetch class names that the model has itself
                tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
                length = int(model.config.task_seq_len)
                task = tokens(
                    [f"the task is {_TASK}"],
                    padding="max_length",
                    max_length=length,
                    truncation=True,
                    return_tensors="pt",
                )["input_ids"]
                extra = {"class_info_file": None}
            processor = AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **extra
            )
    except Exception as error:  # what a foreign config.json makes transformers raise is of any kind
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise SpadeError(f"{folder}: this segmenter cannot be loaded ({reason}); choose another `segmenter`.") from None
    if not hasattr(processor, "post_process_panoptic_segmentation"):
        raise SpadeError(
            f"{folder}: its images are prepared by {type(processor).__name__}, which no segmenter has; "
            "choose another `segmenter`."
        )
    if getattr(processor, "do_split_image", False):
        raise SpadeError(
            f"{folder}: cuts images into pieces, as models of semantic segmentation do; choose a panoptic `segmenter`."
        )
    if loading["missing_keys"] or loading.get("mismatched_keys"):
        missing = sorted(map(str, [*loading["missing_keys"], *loading.get("mismatched_keys", ())]))[0]
        raise SpadeError(
            f"{folder}: its weights lack {missing}, which would be random; "
            "fetch it again or choose another `segmenter`."
        )
    return model.to(device).eval().requires_grad_(False), processor, task


def _labels(folder: Path, config: Any, known: Sequence[Label]) -> tuple[Label, ...]:
    """The model's names in order; things or stuff as the vocabulary or COCO's list says."""
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if sorted(names) != list(range(len(names))):
        raise SpadeError(
            f"{folder / 'config.json'}: id2label does not number its names from 0; choose another `segmenter`."
        )
    if all(name == f"LABEL_{number}" for number, name in names.items()):
        # As EoMT's are published: COCO's panoptic classes in their order, which is PSG's, without their names.
        official = psg_lists()["thing_classes"] + psg_lists()["stuff_classes"]
        if len(names) != len(official):
            raise SpadeError(
                f"{folder / 'config.json'}: id2label has no names for its {len(names)} classes; write them into it."
            )
        names = dict(enumerate(official))
    is_thing_of = {label.name.casefold(): label.is_thing for label in known}
    labels = [named_label(names[number]) for number in range(len(names))]
    return tuple(replace(label, is_thing=is_thing_of.get(label.name.casefold(), label.is_thing)) for label in labels)
