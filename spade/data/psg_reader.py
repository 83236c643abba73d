"""PSG annotation files (psg.json, the challenge files, .json.gz) to records."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from spade.core.errors import SpadeError, given
from spade.core.file_kinds import what_it_is
from spade.core.paths import user_path
from spade.data.psg import Dataset
from spade.data.records import Collected, LabelLists, unknown_ids
from spade.structures.vocabulary import psg_lists

LISTS = ("thing_classes", "stuff_classes", "predicate_classes")
DOCS = "docs/own-data.md"
FORM = "PSG's object with data and classes; give it psg.json"
FILE_NAMES = ("psg.json", "psg_train_val.json", "psg_val_test.json")


def find_annotations(data: Path) -> Path:
    """The annotation file of a folder, or the file itself. Raises SpadeError with the names that were looked for."""
    if data.is_dir():
        for name in FILE_NAMES:
            for candidate in (data / name, data / f"{name}.gz"):
                if candidate.is_file():
                    return candidate
        if (data / "panoptic.json").is_file():
            return data / "panoptic.json"  # recognised, and refused with a reason, by load_psg
        raise SpadeError(
            f"{data}: holds none of {', '.join(FILE_NAMES)} (or .gz); "
            f"name the folder of a PSG data set, or make one with: spade world {data}"
        )
    if not data.exists():
        make = "" if data.suffix else f", or make one with: spade world {data}"
        raise SpadeError(f"{data}: no such data set; name a folder with psg.json{make}")
    return data


def is_psg(path: Path) -> bool:
    """Whether this looks like a PSG data set: a folder that holds an annotation file, or one by its name."""
    names = [name for plain in FILE_NAMES for name in (plain, f"{plain}.gz")]
    return path.name in names or any((path / name).is_file() for name in names)


def load_psg(data: Path, images: Path | None = None) -> Dataset:
    """Load a PSG data set from a folder, an annotation file or a single record; ``images`` is where the images lie
    elsewhere.

    A bad record is left out and named in ``problems``. Raises SpadeError for a file that cannot be used.
    """
    source = find_annotations(user_path(data))
    document = _whole(parsed(source))
    if "data" not in document and "annotations" in document and "images" in document:
        raise SpadeError(
            f"{source}: is a COCO annotation file; it has no relations, so use a "
            "PSG file (psg.json) of these images instead."
        )
    things, stuff, predicates = (_names(source, document, key) for key in LISTS)
    lists = LabelLists(things, stuff, predicates, LISTS)
    lists.check(source, DOCS)
    try:
        rows = msgspec.json.decode(document.get("data", b"null"), type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        raise SpadeError(f"{source}: has no list under data; give it a file in PSG's format ({DOCS}).") from None
    root = image_root(source, images)
    found = Collected()
    # One record at a time: all of them as dicts at once would take ten times the file.
    found.add(source, (partial(msgspec.json.decode, row) for row in rows), lists)
    found.check(source, DOCS)
    test_ids = _value(source, document, "test_image_ids") or []
    if not isinstance(test_ids, list):
        raise SpadeError(
            f"{source}: test_image_ids is a {type(test_ids).__name__}, not a list; give the ids of the test images."
        )
    test = frozenset(str(i) for i in test_ids)
    notes = found.sentences(source) + unknown_ids(source, list(test), found.ids, "test_image_ids")
    info = _value(source, document, "info")
    return Dataset(
        source,
        root,
        lists.things,
        lists.stuff,
        lists.predicates,
        tuple(found.records),
        test,
        tuple(found.problems),
        isinstance(info, dict) and "world_version" in info,
        tuple(notes),
        *_novel(source, _value(source, document, "novel"), lists),
    )


def image_root(source: Path, images: Path | None) -> Path:
    """Where a data set's images lie. Raises SpadeError where a named folder is none."""
    root = user_path(images) if images is not None else source.parent
    if not root.is_dir():
        raise SpadeError(f"{root}: no such image folder; name it with {given('images')}.")
    return root


def _names(source: Path, document: dict[str, msgspec.Raw], key: str) -> tuple[str, ...]:
    value = _value(source, document, key)
    if not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        raise SpadeError(f"{source}: has no list of names under {key}; give it a file in PSG's format ({DOCS}).")
    return tuple(value)


def _novel(source: Path, value: Any, lists: LabelLists) -> tuple[frozenset[str], frozenset[str]]:
    """The names under ``novel``, as the world writes them for its open settings: objects, predicates."""
    if value is None:
        return frozenset(), frozenset()
    known = {"objects": lists.things + lists.stuff, "predicates": lists.predicates}
    if (
        not isinstance(value, dict)
        or not value.keys() <= known.keys()
        or not all(isinstance(names, list) for names in value.values())
    ):
        raise SpadeError(
            f'{source}: novel is not an object with lists; write {{"objects": [...], "predicates": [...]}} or leave it '
            "out."
        )
    for kind, names in value.items():
        for name in names:
            if name not in known[kind]:
                raise SpadeError(
                    f"{source}: novel names {str(name)[:60]!r} among its {kind}, which the file's lists do not have."
                )
        if set(names) == set(known[kind]):
            raise SpadeError(
                f"{source}: novel names all {kind}, so there is nothing to train on; leave some of them out of it."
            )
    return frozenset(value.get("objects", ())), frozenset(value.get("predicates", ()))


def parsed(source: Path, form: str = FORM) -> dict[str, msgspec.Raw]:
    """The file's top level: for each key the bytes of its value, checked to be json but not yet turned into objects."""
    raw = b""
    try:
        raw = source.read_bytes()
        raw = gzip.decompress(raw) if source.suffix == ".gz" else raw
        return msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpadeError(f"{source}: cannot be read ({reason}); name PSG's psg.json or fetch it again.") from None
    except msgspec.ValidationError:
        raise SpadeError(f"{source}: is not {form}.") from None
    except (ValueError, EOFError, zlib.error, RecursionError) as error:
        if source.suffix != ".gz" and (found := what_it_is(raw[:100])) is not None:
            raise SpadeError(f"{source}: is {found[0]}, and no annotation file; {found[1]}.") from None
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise SpadeError(f"{source}: is not valid json ({reason}); fetch or write the annotation file again.") from None


def _whole(document: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """A record that stands alone, as a file with the official class lists, which its numbers refer to; any other as it
    is.
    """
    if not {"segments_info", "annotations", "pan_seg_file_name"} <= document.keys():
        return document
    lists = {key: psg_lists()[key] for key in LISTS}
    return {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in ({"data": [document]} | lists).items()}


def _value(source: Path, document: dict[str, msgspec.Raw], key: str) -> Any:
    """The value of a top-level key as plain objects; None where there is none."""
    try:
        return msgspec.json.decode(document[key]) if key in document else None
    except (ValueError, RecursionError) as error:
        raise SpadeError(
            f"{source}: {key} cannot be read ({str(error)[:100]}); write the annotation file again."
        ) from None
