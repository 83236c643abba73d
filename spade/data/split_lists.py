"""Split lists: names of a data set that training must not see, as the field publishes them or a user writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash, read_json
from spade.core.paths import user_path
from spade.data.psg import Dataset
from spade.structures.vocabulary import Vocabulary

# What a suffix keeps of a list: open-vocabulary detection (objects), relations (predicates), or both.
PARTS = {"ovd": ("objects",), "ovr": ("predicates",), "ovdr": ("objects", "predicates")}
FILES = {
    "pgsg": ("psg_pgsg_novel_predicates", "vg150_pgsg_novel_predicates"),
    "ovsgtr": ("vg150_ovsgtr_splits",),
    "psg-objects-v1": ("psg-objects-v1",),
    "world": ("world",),
}
WHOSE = {
    "pgsg": "PSG's or VG150's predicates",
    "ovsgtr": "VG150",
    "psg-objects-v1": "PSG's classes",
    "world": "the embedded world",
}
Names = frozenset[str] | None


@dataclass(frozen=True)
class SplitList:
    """``name`` as a user gives it, and the names that are novel; None where it says nothing of objects or predicates.

    ``version``: of a published list its commit, of one of ours its number, of a file what it says under version.
    """

    name: str
    version: str | None
    novel_objects: Names
    novel_predicates: Names

    @property
    def sha256(self) -> str:
        """Of the novel names: two splits that keep the same names from training have the same."""
        return canonical_hash({"objects": _sorted(self.novel_objects), "predicates": _sorted(self.novel_predicates)})

    @property
    def names(self) -> frozenset[str]:
        """All novel names."""
        return (self.novel_objects or frozenset()) | (self.novel_predicates or frozenset())

    def to_json(self) -> dict[str, Any]:
        """Plain data, for manifests and models."""
        novel = {"objects": _sorted(self.novel_objects), "predicates": _sorted(self.novel_predicates)}
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "novel": novel}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SplitList:
        """The inverse of ``to_json``. Raises SpadeError where the names are not those of its hash."""
        objects, predicates = (
            None if names is None else frozenset(names) for names in map(data["novel"].get, PARTS["ovdr"])
        )
        split = cls(data["name"], data["version"], objects, predicates)
        if split.sha256 != data["sha256"]:
            raise SpadeError(f"split {split.name!r}: its names are not those of its hash; begin with spade invert.")
        return split

    def shown_to(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """Novel names that a training vocabulary holds."""
        objects = sorted((self.novel_objects or frozenset()).intersection(vocabulary.names))
        return (*objects, *sorted((self.novel_predicates or frozenset()).intersection(vocabulary.predicates)))

    def applied(self, dataset: Dataset) -> Dataset:
        """The data set with this list's novel names as its own. Raises SpadeError where that would show training names
        that the data set's file keeps from it, or would leave training nothing.
        """
        new = {
            "objects": (self.novel_objects or frozenset()).intersection(dataset.classes),
            "predicates": (self.novel_predicates or frozenset()).intersection(dataset.predicates),
        }
        for kind, held, everything in (
            ("objects", dataset.novel_objects, dataset.classes),
            ("predicates", dataset.novel_predicates, dataset.predicates),
        ):
            if shown := sorted(held - new[kind]):
                raise SpadeError(
                    f"{given('split_list', self.name)}: does not call {shown[0]!r} novel, which {dataset.source} keeps "
                    "from training; leave it out, or add the name to the list."
                )
            if new[kind] and new[kind] >= set(everything):
                raise SpadeError(
                    f"{given('split_list', self.name)}: calls all {kind} of {dataset.source} novel, so there is "
                    "nothing to train on."
                )
        if not (new["objects"] or new["predicates"]):
            raise SpadeError(f"{given('split_list', self.name)}: calls no name of {dataset.source} novel.")
        return replace(dataset, novel_objects=new["objects"], novel_predicates=new["predicates"])


def split_of(name: str | None, dataset: Dataset) -> SplitList | None:
    """The list of this name or file; without one the data set's own, where its file calls names novel."""
    return own_split(dataset) if name is None else read_split(name, dataset)


def as_kept(split: SplitList | None) -> dict[str, Any] | None:
    """A split as manifests keep it."""
    return None if split is None else split.to_json()


def split_kept(data: Mapping[str, Any] | None) -> SplitList | None:
    """The inverse of ``as_kept``."""
    return None if data is None else SplitList.from_json(data)


def own_split(dataset: Dataset) -> SplitList | None:
    """What a data set's own file calls novel; the embedded world's settings have their names."""
    objects, predicates = dataset.novel_objects or None, dataset.novel_predicates or None
    if not (objects or predicates):
        return None
    if dataset.is_world:
        whole = _named("world", dataset)
        for part in ("ovr", "ovdr"):
            named = _part(whole, part)
            if (named.novel_objects, named.novel_predicates) == (objects, predicates):
                return named
    return SplitList(dataset.source.name, None, objects, predicates)


def read_split(name: str, dataset: Dataset) -> SplitList:
    """A named list (``FILES``), a json file with {base,novel}_{objects,predicates}, several with "+" between them;
    each may end in ":ovd", ":ovr" or ":ovdr" (``PARTS``).

    Raises SpadeError where a list speaks of names that the data set does not have, or lacks the part that is asked for.
    """
    if not all(name.split("+")):
        raise SpadeError(f"{given('split_list', name)}: names no list; use {', '.join(FILES)} or a json file.")
    pieces = [name] if user_path(_stem_and_part(name)[0]).is_file() else name.split("+")
    lists = [_one(piece, dataset) for piece in pieces]
    if len(lists) == 1:
        return lists[0]
    versions = [one.version for one in lists if one.version is not None]
    return SplitList(
        "+".join(one.name for one in lists),
        "+".join(versions) or None,
        _joined([one.novel_objects for one in lists]),
        _joined([one.novel_predicates for one in lists]),
    )


@cache
def official_list(name: str) -> Any:
    """A list shipped with the package (sources: NOTICE)."""
    return json.loads(resources.files("spade").joinpath(f"assets/lists/{name}.json").read_text("utf-8"))


def _one(name: str, dataset: Dataset) -> SplitList:
    stem, part = _stem_and_part(name)
    split = _named(stem, dataset) if stem in FILES else _file(stem, dataset)
    return _part(split, part) if part else split


def _stem_and_part(name: str) -> tuple[str, str]:
    """("pgsg", "ovr") of "pgsg:ovr"; a name without such an end, or of a file that is there, as it is."""
    stem, _, part = name.rpartition(":")
    return (stem, part) if part in PARTS and not user_path(name).is_file() else (name, "")


def _part(split: SplitList, part: str) -> SplitList:
    """Only the objects, only the predicates, or both of them. Raises SpadeError where the list has no such names."""
    held = {"objects": split.novel_objects, "predicates": split.novel_predicates}
    for kind in PARTS[part]:
        if held[kind] is None:
            raise SpadeError(f"{given('split_list', f'{split.name}:{part}')}: {split.name} is no list of {kind}.")
    objects, predicates = (held[kind] if kind in PARTS[part] else None for kind in held)
    return SplitList(f"{split.name}:{part}", split.version, objects, predicates)


def _named(name: str, dataset: Dataset) -> SplitList:
    present = {"objects": frozenset(dataset.classes), "predicates": frozenset(dataset.predicates)}
    for lists in map(official_list, FILES[name]):
        split = SplitList(name, str(lists["version"] if "version" in lists else lists["commit"][:12]), None, None)
        fits, novel = True, dict[str, Names]()
        for kind, names in present.items():
            listed = _side(lists, "novel", kind)
            fits &= listed is None or names <= listed | (_side(lists, "base", kind) or frozenset())
            novel[kind] = None if listed is None else listed & names
        if fits:
            return replace(split, novel_objects=novel["objects"], novel_predicates=novel["predicates"])
    raise SpadeError(
        f"{given('split_list', name)}: is for the names of {WHOSE[name]}; {dataset.source} has others, so give a file."
    )


def _side(lists: Mapping[str, Any], side: str, kind: str) -> Names:
    """The novel or the base names of a shipped list; PGSG's have predicates alone, some as rows with their number."""
    rows = lists.get(f"{side}_{kind}", lists.get(side) if kind == "predicates" else None)
    return None if rows is None else frozenset(row if isinstance(row, str) else row["name"] for row in rows)


def _file(name: str, dataset: Dataset) -> SplitList:
    path = user_path(name)
    data = read_json(
        path, "split list", f"write json with novel_objects, novel_predicates (or base_...), or use {', '.join(FILES)}."
    )
    names = _novel(name, data, "objects", dataset.classes), _novel(name, data, "predicates", dataset.predicates)
    if names == (None, None):
        raise SpadeError(f"{name}: has none of novel_objects, base_objects, novel_predicates, base_predicates.")
    version = data.get("version")
    return SplitList(path.name, None if version is None else str(version)[:60], *names)


def _novel(source: str, data: Any, kind: str, names: tuple[str, ...]) -> Names:
    """The novel names of a file; where only the base ones are listed, all others."""
    if not isinstance(data, Mapping):
        raise SpadeError(
            f"{source}: is no json object with novel_objects, novel_predicates, base_objects or base_predicates."
        )
    sides, everything = {}, frozenset(names)
    for side in ("novel", "base"):
        listed = data.get(f"{side}_{kind}")
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise SpadeError(f"{source}: {side}_{kind} is no list of names.")
        if strange := [name for name in listed if name not in everything]:
            raise SpadeError(f'{source}: {side}_{kind} has "{strange[0]}", which is not among the data set\'s {kind}.')
        sides[side] = frozenset(listed)
    if len(sides) == 2 and (both := sides["novel"] & sides["base"]):
        raise SpadeError(f'{source}: "{min(both)}" is both base and novel.')
    return sides.get("novel", everything - sides["base"] if "base" in sides else None)


def _joined(lists: list[Names]) -> Names:
    there = [names for names in lists if names is not None]
    return frozenset().union(*there) if there else None


def _sorted(names: Names) -> list[str] | None:
    return None if names is None else sorted(names)
