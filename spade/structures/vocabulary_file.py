"""Vocabularies as users give them: files with one label a line, lists, or one text with commas."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.file_kinds import what_it_is
from spade.core.paths import user_path
from spade.core.text import refuse_control
from spade.structures.vocabulary import Label, Vocabulary, all_different, named_label

VocabularyLike = Vocabulary | str | Path | Sequence[str]


def given_vocabulary(vocabulary: str | Path | Sequence[str], trained: Vocabulary) -> Vocabulary:
    """A vocabulary as a user gives it: the path of a file, labels in one text with commas ("person,dog,sky"), or a list
    of labels, each as a line of a file has it.

    Raises SpadeError for anything else.
    """
    if isinstance(vocabulary, (str, Path)):
        text = str(vocabulary)
        if not text.strip():
            raise SpadeError("vocabulary: is empty; give a file, or labels such as person,dog,sky.")
        if "," not in text or _is_file(user_path(vocabulary)):
            return user_vocabulary(user_path(vocabulary), trained)
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


def _is_file(path: Path) -> bool:
    """Whether a file lies there; a text that is too long for a name, or holds what no name may, is none."""
    try:
        return path.is_file()
    except ValueError:
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


_SECTION = re.compile(r"^\[\s*(\w+)\s*\]$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")  # "C# book" is no comment
# How lines of other files begin or look, and what that is.
_OTHER_FORMS = (
    (re.compile(r"^\d+\s*[:.),;\t]"), "begins with a number, as a list or a table does"),
    (re.compile(r"^[-*\u2022]\s"), "begins with a mark, as a list does"),
    (re.compile(r"\t"), "holds a tab, as a table does"),
    (re.compile(r";"), "holds a semicolon"),
    (re.compile(r"^[{\[]|[}\]],?$"), "looks like json"),
    (re.compile(r"^(?!stuff)\w+:\s*$"), "looks like yaml"),
)
_QUOTED = re.compile(r"""^(["'])(?P<inside>[^"']+)\1,?$""")
REMEDY = "write one label a line, for example: person, man, woman"
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
        line = _COMMENT.sub("", line).strip()
        if not line:
            continue
        if quoted := _QUOTED.match(line):
            line = quoted["inside"].strip()
        if heading := _SECTION.match(line):
            section = heading[1].lower()
            if section not in ("objects", "predicates"):
                raise SpadeError(f"{path}:{number}: unknown section [{heading[1]}]; use [objects] or [predicates].")
            continue
        for form, told in _OTHER_FORMS:
            if form.search(line):
                raise SpadeError(f'{path}:{number}: "{line[:60]}" {told}; {REMEDY}')
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


def _lines(path: Path) -> list[str]:
    """A file's lines, or the texts of a json list. Raises SpadeError for other json, and for what is no text."""
    try:
        content = path.read_bytes()
        if content and (found := what_it_is(content[:100])) is not None:
            raise SpadeError(f"{path}: is {found[0]}, and no vocabulary file; {REMEDY}")
        text = content.decode("utf-8-sig")
        document = _json(text)
        if document is None:
            return re.split(r"\r\n|\r|\n", text)
        if isinstance(document, list) and all(isinstance(label, str) and label.strip() for label in document):
            return document
        if isinstance(document, dict) and document and all(map(_is_numbered_name, document.items())):
            return [document[key] for key in sorted(document, key=int)]  # an id2label of transformers or ultralytics
        what = f"a json object of {', '.join(list(document)[:4])}" if isinstance(document, dict) else "json"
        raise SpadeError(f"{path}: is {what}, and no list of labels; {REMEDY}")
    except FileNotFoundError:
        raise SpadeError(
            f"{path}: no such vocabulary file; write one label a line into it, or name labels with commas: person,dog."
        ) from None
    except UnicodeDecodeError:
        raise SpadeError(f"{path}: not UTF-8 text; save the vocabulary file as UTF-8.") from None
    except OSError as error:
        raise SpadeError(
            f"{path}: cannot be read ({error.strerror}); name a text file with one label a line."
        ) from None


def _is_numbered_name(entry: tuple[Any, Any]) -> bool:
    return entry[0].isdecimal() and isinstance(entry[1], str) and bool(entry[1].strip())


def _json(text: str) -> Any:
    """What a text is as a json list or object; None where it is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_label(text: str, where: str = "vocabulary") -> Label:
    """One line of a vocabulary: "stuff:" before a stuff label, synonyms after commas, "(supercategory)" at the end.

    Raises SpadeError, naming ``where``, when no name is left, or for a control character.
    """
    refuse_control(text, where)
    is_stuff = text.lower().startswith("stuff:")
    body = text[len("stuff:") :] if is_stuff else text
    group = None
    if match := _SUPERCATEGORY.match(body.strip()):
        body, group = match["names"], match["group"].strip() or None
    names = list(dict.fromkeys(name for part in body.split(",") if (name := part.strip())))
    if not names:
        raise SpadeError(f'{where}: "{text}" names no label; write for example: person, man, woman')
    is_thing = not is_stuff and named_label(names[0]).is_thing
    return Label(names[0], is_thing, tuple(names[1:]), group)


def _parse_predicate(text: str, where: str) -> str:
    refuse_control(text, where)
    if "," in text or "(" in text or text.lower().startswith("stuff:"):
        raise SpadeError(f'{where}: "{text}" is no predicate; write one phrase a line, for example: standing on')
    return text
