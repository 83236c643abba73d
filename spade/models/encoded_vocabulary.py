"""A vocabulary as a model knows it: embedded, in the UNet's context, and compared with what training had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import compress

import torch
from torch import Tensor

from spade.diffusion.student import LabelContext, Student
from spade.open_vocabulary.unseen_names import trained_names
from spade.structures.vocabulary import Label, Vocabulary

BLOCK = 256  # labels that are embedded at a time
Track = Callable[[Sequence[Sequence[Label]]], Iterable[Sequence[Label]]]


@dataclass(frozen=True)
class EncodedVocabulary:
    """C names of segments and P predicates: text rows (C, D) and (P, D), and which of them training had, (C,) and (P,)
    bool.

    ``other_seen_objects`` (E, D) and ``other_seen_predicates`` (E', D) are names that only training had; none where it
    had all that are asked. ``is_thing`` (C,) and ``other_seen_is_thing`` (E,) say which objects are things.
    """

    vocabulary: Vocabulary
    context: LabelContext
    objects: Tensor
    predicates: Tensor
    is_thing: Tensor
    is_seen_objects: Tensor
    is_seen_predicates: Tensor
    other_seen_objects: Tensor
    other_seen_predicates: Tensor
    other_seen_is_thing: Tensor

    @classmethod
    def of(
        cls, asked: Vocabulary, trained: Vocabulary, student: Student, track: Track = lambda blocks: blocks
    ) -> EncodedVocabulary:
        """The names that are asked for, by a student and heads that were trained on others; ``track`` sees the blocks
        of labels go by.
        """
        clip, device = student.clip, student.backbone.device
        names, trained_objects = ([label.prompts for label in v.objects] for v in (asked, trained))
        stated, trained_predicates = ([(name,) for name in v.predicates] for v in (asked, trained))
        learned = trained_names(names, trained_objects), trained_names(stated, trained_predicates)
        # Whether training had other names is only asked where the two kinds share.
        alone = bool(learned[0].all() and learned[1].all())
        objects = [] if alone else list(compress(trained.objects, (~trained_names(trained_objects, names)).tolist()))
        predicates = (
            [] if alone else list(compress(trained.predicates, (~trained_names(trained_predicates, stated)).tolist()))
        )
        listed = [*asked.objects, *objects]
        blocks = [listed[start : start + BLOCK] for start in range(0, len(listed), BLOCK)]
        texts = torch.cat([clip.embed_labels(block) for block in track(blocks)]).tensor_split([len(names)])
        phrases = clip.embed_predicates([*asked.predicates, *predicates]).tensor_split([len(stated)])
        return cls(
            asked,
            student.label_context(asked),
            texts[0],
            phrases[0],
            torch.tensor([label.is_thing for label in asked.objects], device=device),
            learned[0].to(device),
            learned[1].to(device),
            texts[1],
            phrases[1],
            torch.tensor([label.is_thing for label in objects], dtype=torch.bool, device=device),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All that was computed, by name."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("vocabulary", "context")}
        return own | {"begin": self.context.begin, "tokens": self.context.tokens}

    @classmethod
    def from_tensors(
        cls, vocabulary: Vocabulary, tensors: Mapping[str, Tensor], device: torch.device
    ) -> EncodedVocabulary:
        """The inverse of ``tensors``, on a device."""
        there = {name: tensor.to(device) for name, tensor in tensors.items()}
        context = LabelContext(there.pop("begin"), there.pop("tokens"))
        return cls(vocabulary, context, **there)

    def to_objects(self, attention: Tensor | None) -> Tensor | None:
        """Of attention (C + P, h, w) to all names the part to objects."""
        return None if attention is None else attention[: len(self.objects)]
