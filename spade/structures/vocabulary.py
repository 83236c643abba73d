"""Label lists: the official ones, their plain names, and the user's vocabulary files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

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


_SECTION = re.compile(r"^\[(\w+)\]$")
_SUPERCATEGORY = re.compile(r"^(?P<names>.*?)\s*\((?P<group>[^()]*)\)$")


def read_vocabulary(path: Path, default_predicates: tuple[str, ...], section: str = "objects") -> Vocabulary:
    """Read a vocabulary file: one label a line, with the sections [objects] and [predicates].

    Lines before any section belong to ``section``. Without predicates in the file, ``default_predicates`` are used.
    Raises SpadeError if the file is missing, not UTF-8, empty, or names a label twice.
    """
    objects: list[Label] = []
    predicates: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(_lines(path), start=1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        if heading := _SECTION.match(line):
            section = heading[1].lower()
            if section not in ("objects", "predicates"):
                raise SpadeError(f"{path}:{number}: unknown section [{heading[1]}]; use [objects] or [predicates].")
            continue
        if section == "objects":
            objects.append(parse_label(line, f"{path}:{number}"))
            names = (objects[-1].name, *objects[-1].synonyms)
        else:
            predicates.append(_parse_predicate(line, f"{path}:{number}"))
            names = (predicates[-1],)
        for name in names:
            first = seen.setdefault((section, name.casefold()), number)
            if first != number:
                raise SpadeError(f'{path}:{number}: "{name}" stands in line {first} already; remove one of the two.')
    if not objects and not predicates:
        raise SpadeError(f"{path}: no label found; write one label a line, for example: person")
    return Vocabulary(tuple(objects), tuple(predicates) or default_predicates)


def user_vocabulary(path: Path, trained: Vocabulary) -> Vocabulary:
    """A user's vocabulary file, completed with the objects or predicates of the training list where it names none."""
    read = read_vocabulary(path, trained.predicates)
    return Vocabulary(read.objects or trained.objects, read.predicates)


VocabularyLike = Vocabulary | str | Path | Sequence[str]


def given_vocabulary(vocabulary: str | Path | Sequence[str], trained: Vocabulary) -> Vocabulary:
    """A vocabulary as a user gives it: the path of a file, labels in one text with commas ("person,dog,sky"), or a list
    of labels, each as a line of a file has it.

    Raises SpadeError for anything else.
    """
    if isinstance(vocabulary, (str, Path)):
        text = str(vocabulary)
        if "," not in text or Path(vocabulary).is_file():
            return user_vocabulary(Path(vocabulary), trained)
        vocabulary = [label.strip() for label in text.split(",") if label.strip()]
        if not vocabulary:
            raise SpadeError(f'vocabulary: "{text}" names no label; write for example: person,dog,sky')
    if isinstance(vocabulary, Mapping) or not isinstance(vocabulary, Sequence):
        kind = type(vocabulary).__name__
        raise SpadeError(f"vocabulary: {kind} is no list of labels; give a path, or a list such as ['person', 'dog'].")
    for label in vocabulary:
        if not isinstance(label, str):
            raise SpadeError(f"vocabulary: {label!r} is no label; give texts, such as ['person', 'dog'].")
    chosen = Vocabulary(tuple(parse_label(label) for label in vocabulary), trained.predicates)
    all_different(chosen.names, "label", "vocabulary")
    return chosen


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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise SpadeError(f"{path}: no such vocabulary file; write one label a line into it.") from None
    except UnicodeDecodeError:
        raise SpadeError(f"{path}: not UTF-8 text; save the vocabulary file as UTF-8.") from None
    except OSError as error:
        raise SpadeError(
            f"{path}: cannot be read ({error.strerror}); name a text file with one label a line."
        ) from None


def parse_label(text: str, where: str = "vocabulary") -> Label:
    """One line of a vocabulary: "stuff:" before a stuff label, synonyms after commas, "(supercategory)" at the end.

    Raises SpadeError, naming ``where``, when no name is left.
    """
    is_stuff = text.lower().startswith("stuff:")
    body = text[len("stuff:") :] if is_stuff else text
    group = None
    if match := _SUPERCATEGORY.match(body.strip()):
        body, group = match["names"], match["group"].strip() or None
    names = list(dict.fromkeys(name for part in body.split(",") if (name := part.strip())))
    if not names:
        raise SpadeError(f'{where}: "{text}" names no label; write for example: person, man, woman')
    is_thing = not (is_stuff or names[0].casefold() in _known_stuff())
    return Label(names[0], is_thing, tuple(names[1:]), group)


def _parse_predicate(text: str, where: str) -> str:
    if "," in text or "(" in text or text.lower().startswith("stuff:"):
        raise SpadeError(f'{where}: "{text}" is no predicate; write one phrase a line, for example: standing on')
    return text
