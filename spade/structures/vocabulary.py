"""Label lists: the official ones, their plain names, and the user's vocabulary files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from spade.core.errors import SpadeError


@dataclass(frozen=True)
class Label:
    """One name to look for. ``synonyms`` excludes the name itself."""

    name: str
    is_thing: bool
    synonyms: tuple[str, ...] = ()
    supercategory: str | None = None

    @property
    def prompts(self) -> tuple[str, ...]:
        """The plain words that stand for the label in prompts and text embeddings."""
        return tuple(plain_name(name) for name in (self.name, *self.synonyms))


@dataclass(frozen=True)
class Vocabulary:
    """Object labels and predicates in the order that indices refer to."""

    objects: tuple[Label, ...]
    predicates: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Object names in order."""
        return tuple(label.name for label in self.objects)

    @classmethod
    def of(cls, things: tuple[str, ...], stuff: tuple[str, ...], predicates: tuple[str, ...]) -> Vocabulary:
        """A vocabulary in PSG's order: things, then stuff."""
        labels = [Label(name, True) for name in things] + [Label(name, False) for name in stuff]
        return cls(tuple(labels), predicates)

    def to_json(self) -> dict:
        """Plain data, as kept beside weights."""
        return {
            "objects": [
                {"name": o.name, "is_thing": o.is_thing, "synonyms": list(o.synonyms), "supercategory": o.supercategory}
                for o in self.objects
            ],
            "predicates": list(self.predicates),
        }

    @classmethod
    def from_json(cls, data: dict) -> Vocabulary:
        """The inverse of ``to_json``."""
        objects = tuple(
            Label(o["name"], o["is_thing"], tuple(o["synonyms"]), o["supercategory"]) for o in data["objects"]
        )
        return cls(objects, tuple(data["predicates"]))


@cache
def psg_lists() -> dict:
    """The official PSG class lists with their plain names (sources: NOTICE)."""
    text = resources.files("spade").joinpath("assets/lists/psg.json").read_text("utf-8")
    data: dict = json.loads(text)
    return data


@cache
def _plain_names() -> dict[str, str]:
    lists = psg_lists()
    return dict(zip(lists["thing_classes"] + lists["stuff_classes"], lists["plain_names"], strict=True))


def plain_name(label: str) -> str:
    """The words a prompt uses for a label: "sky" for "sky-other-merged"; unknown labels keep their own."""
    return _plain_names().get(label, label)


@cache
def _supercategories() -> dict[str, str]:
    lists = psg_lists()
    official = lists["thing_classes"] + lists["stuff_classes"]
    return {
        name.casefold(): group
        for label, group in zip(official, lists["supercategories"], strict=True)
        for name in (plain_name(label), label)
    }


def known_supercategory(name: str) -> str | None:
    """COCO's supercategory of an official or plain name: "animal" for "dog"; nothing for other names."""
    return _supercategories().get(name.casefold())


def named_label(name: str) -> Label:
    """A label whose name is all that is known; stuff where an official list says so, a thing otherwise."""
    return Label(name, name.casefold() not in _known_stuff())


@cache
def _known_stuff() -> frozenset[str]:
    official = psg_lists()["stuff_classes"]
    return frozenset(name.casefold() for label in official for name in (label, plain_name(label)))


def extended(vocabulary: Vocabulary, labels: Iterable[tuple[str, bool]]) -> tuple[Vocabulary, dict[str, int]]:
    """A vocabulary with the labels (name, is_thing) that it lacks, in their order, at its end, and the place of each
    name. Of one name as a thing and as stuff the first counts.
    """
    places = {label.name: number for number, label in enumerate(vocabulary.objects)}
    more: list[Label] = []
    for name, is_thing in labels:
        if name not in places:
            places[name] = len(vocabulary.objects) + len(more)
            more.append(replace(named_label(name), is_thing=is_thing))
    return Vocabulary((*vocabulary.objects, *more), vocabulary.predicates), places


def all_different(names: Sequence[str], kind: str, source: str) -> None:
    """Raises SpadeError where a list that ``source`` gives holds a name twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SpadeError(f'{source}: the {kind} "{twice}" is listed twice; give each a name of its own.')
