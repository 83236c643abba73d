"""The calibrated model: the backbone with its LoRA, told about the labels in use and about the image, not a
caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from spade.core.errors import SpadeError, reason_of
from spade.core.files import read_json, write_bytes, write_json
from spade.core.hub import fingerprint
from spade.core.weights import load_weights, to_bytes
from spade.data.images import model_size, to_array
from spade.diffusion import lora
from spade.diffusion.attention import combine, reading
from spade.diffusion.backbone import Backbone
from spade.diffusion.features import decoder_features, encode_with_features, ordered
from spade.diffusion.image_adapter import ImageAdapter, student_context
from spade.open_vocabulary.clip import OpenClip
from spade.open_vocabulary.clip_files import resolve_clip
from spade.structures.vocabulary import Label, Vocabulary

ADAPTER_FORMAT = 2
UNET = "unet.safetensors"  # of a student whose UNet was trained as a whole
LABEL_CONTEXT_TOKENS, MATCHED_TOKENS, MOST_TOKENS = 4, 32, 4096


@dataclass(frozen=True)
class Kind:
    """How a student is made: what is trained (lora, adapter, full), which token stands for what (alignment.py), the
    timestep of its one pass, and the cross-attention grids in which it was taught to look, as strides in latent cells.
    """

    timestep: int
    strides: tuple[int, ...]
    train: str = "lora"
    alignment: str = "vocabulary"

    @property
    def labels(self) -> bool:
        """Whether the context holds a token for each label."""
        return self.alignment == "vocabulary"

    def tokens(self, backbone: Backbone) -> int:
        """Tokens of the image adapter, where nothing else is asked for."""
        return {"vocabulary": LABEL_CONTEXT_TOKENS, "index": backbone.token_limit - 1, "matched": MATCHED_TOKENS}[
            self.alignment
        ]


@dataclass(frozen=True)
class EncodedImage:
    """One image as the frozen parts see it: latents (1, C, h, w), the autoencoder's finer features, its CLIP
    embedding (1, D).
    """

    latents: Tensor
    fine: dict[int, Tensor]
    embedding: Tensor

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(t.numel() * t.element_size() for t in (self.latents, self.embedding, *self.fine.values()))


@dataclass(frozen=True)
class LabelContext:
    """What the student is told about a vocabulary: begin token (1, D) and one token a name (C + P, D), objects first.

    Of a student that is told no labels, ``tokens`` is empty.
    """

    begin: Tensor
    tokens: Tensor

    def part(self, chosen: Sequence[int]) -> LabelContext:
        """Some of the names only; the i-th of them will stand at position 1 + i."""
        return LabelContext(self.begin, self.tokens[list(chosen)])


@dataclass(frozen=True)
class ImageFeatures:
    """What the heads get of one image: features fine to coarse, each (1, C, H, W), and attention to the names (1, C +
    P, h, w).

    ``attention`` is each cell's share for each name, objects first; None of a student that is told no labels.
    """

    features: tuple[Tensor, ...]
    attention: Tensor | None

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(
            t.numel() * t.element_size()
            for t in (*self.features, *([] if self.attention is None else [self.attention]))
        )


class Student:
    """Frozen backbone and CLIP, the image adapter, and (when attached or loaded) the LoRA.

    Without an image adapter it is the raw UNet, told the labels and nothing of the image.
    """

    def __init__(self, backbone: Backbone, clip: OpenClip, adapter: ImageAdapter | None, kind: Kind) -> None:
        self.backbone, self.clip, self.kind = backbone, clip, kind
        self.adapter = None if adapter is None else adapter.to(backbone.device)

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which an image of this size is seen."""
        return model_size(width, height, self.backbone.image_size, self.backbone.multiple)

    def encode(self, image: Image.Image, fine: bool = True) -> EncodedImage:
        """Encode one upright RGB image; without ``fine`` the autoencoder's finer features, which only the heads need,
        are not kept.
        """
        pixels = torch.from_numpy(to_array(image, self.size_for(*image.size)))[None]
        latents, features = encode_with_features(self.backbone, pixels)
        return EncodedImage(latents, features if fine else {}, self.clip.embed_images([image]))

    def label_context(self, vocabulary: Vocabulary) -> LabelContext:
        """Tokens of a whole vocabulary, objects first."""
        begin = self.backbone.begin_token()
        if not self.kind.labels:
            return LabelContext(begin, begin[:0])
        names = [*vocabulary.objects, *(Label(name, False) for name in vocabulary.predicates)]
        return LabelContext(begin, self.backbone.label_tokens(names))

    def context(self, labels: LabelContext, embeddings: Tensor) -> Tensor:
        """The UNet's context (B, 1 + C + P + K, D) for a batch of CLIP image embeddings (B, D)."""
        if self.adapter is None:
            return torch.cat([labels.begin, labels.tokens]).expand(len(embeddings), -1, -1)
        image_tokens = self.adapter(embeddings.to(self.backbone.device))
        return student_context(labels.begin, labels.tokens, image_tokens.to(labels.begin.dtype))

    def maps(self, encoded_images: Sequence[EncodedImage], labels: LabelContext) -> Tensor:
        """Cross-attention (B, L, h, w) of images of one size, for each token of the context; gradients flow."""
        latents = torch.cat([encoded_image.latents for encoded_image in encoded_images])
        context = self.context(labels, torch.cat([encoded_image.embedding for encoded_image in encoded_images]))
        with reading(self.backbone.unet, self.kind.strides) as store:
            self.backbone.unet(latents, self.kind.timestep, encoder_hidden_states=context)
        return combine(store, self.backbone.unet, (latents.shape[-2], latents.shape[-1]))

    @torch.no_grad()
    def extract(self, encoded_image: EncodedImage, labels: LabelContext) -> ImageFeatures:
        """One UNet pass on the clean latent: all features of one image, and where it looks for each name."""
        context = self.context(labels, encoded_image.embedding)
        with_labels = self.kind.labels
        with reading(self.backbone.unet, self.kind.strides if with_labels else ()) as store:
            coarse = decoder_features(self.backbone, encoded_image.latents, context, self.kind.timestep)
        maps = None
        if with_labels:
            height, width = encoded_image.latents.shape[-2:]
            maps = combine(store, self.backbone.unet, (height, width))[:, 1 : 1 + len(labels.tokens)].float()
        return ImageFeatures(tuple(ordered(encoded_image.fine | coarse)), maps)

    def save(self, folder: Path) -> None:
        """Write what was trained; adapter.json, which says what it fits, comes last."""
        assert self.adapter is not None, "the raw UNet is nothing to save"
        folder.mkdir(parents=True, exist_ok=True)
        if self.kind.train == "lora":
            lora.save(self.backbone.unet, folder)
        elif self.kind.train == "full":
            write_bytes(folder / UNET, to_bytes(self.backbone.unet.state_dict()))
        write_bytes(folder / "image_adapter.safetensors", to_bytes(self.adapter.state_dict()))
        facts = {
            "format": ADAPTER_FORMAT,
            **vars(self.kind),
            "clip_dim": self.clip.dim,
            "context_dim": self.backbone.context_dim,
            "tokens": self.adapter.tokens,
            "backbone": fingerprint(self.backbone.folder),
            "clip": fingerprint(resolve_clip(self.clip.source)),
        }
        write_json(folder / "adapter.json", facts)


def new_student(backbone: Backbone, clip: OpenClip, kind: Kind, tokens: int = 0) -> Student:
    """A student with a fresh image adapter of ``tokens`` tokens (0: as many as its kind needs); a LoRA is attached by
    the caller.
    """
    adapter = ImageAdapter(clip.dim, backbone.context_dim, tokens or kind.tokens(backbone))
    return Student(backbone, clip, adapter, kind)


def load_student(backbone: Backbone, clip: OpenClip, folder: Path) -> Student:
    """Load a saved adapter onto a backbone. Raises SpadeError where it was made for other models."""
    facts = read_json(folder / "adapter.json", "adapter", "make one with: spade calibrate")
    try:
        if facts["format"] != ADAPTER_FORMAT:
            raise SpadeError(
                f"{folder}: adapter format {facts['format']!r} is unknown; calibrate anew with: spade calibrate"
            )
        made_on, made_with = facts["backbone"], facts["clip"]
        kind = Kind(
            int(facts["timestep"]), tuple(map(int, facts["strides"])), str(facts["train"]), str(facts["alignment"])
        )
        if not 0 < (tokens := int(facts["tokens"])) <= MOST_TOKENS:
            raise ValueError(f"{tokens} tokens")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SpadeError(
            f"{folder / 'adapter.json'}: describes no adapter ({reason_of(error)}); calibrate anew with: spade "
            "calibrate"
        ) from None
    if made_on != fingerprint(backbone.folder):
        raise SpadeError(
            f"{folder}: this adapter was calibrated on another backbone than "
            f"{backbone.name}; calibrate anew with: spade calibrate"
        )
    if made_with != fingerprint(resolve_clip(clip.source)):
        raise SpadeError(
            f"{folder}: this adapter was calibrated with another CLIP model "
            f"than {clip.source}; name that one with `clip`."
        )
    adapter = ImageAdapter(clip.dim, backbone.context_dim, tokens)
    load_weights(adapter, folder / "image_adapter.safetensors", "calibrate anew with: spade calibrate")
    adapter.requires_grad_(False)
    if kind.train == "lora":
        lora.load(backbone.unet, folder)
    elif kind.train == "full":
        load_weights(backbone.unet, folder / UNET, "calibrate anew with: spade calibrate")
    return Student(backbone, clip, adapter, kind)
