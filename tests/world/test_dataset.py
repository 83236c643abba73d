from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from spade.core.errors import SpadeError, SpadeWarning
from spade.data.images import read_image
from spade.data.psg_reader import load_psg
from spade.structures.panoptic_png import read_panoptic
from spade.world.annotation import CLASSES, MAX_RELATIONS, MAX_SEGMENTS, MIN_RELATIONS, MIN_SEGMENTS, make_sample
from spade.world.captions import SYNONYMS, web_caption
from spade.world.dataset import novel_names, trained, write_world
from spade.world.layout import THINGS
from spade.world.rules import PREDICATES


def write(out, images=6, seed=1, force=False, setting="closed"):
    return write_world(out, images, (128, 96), seed, setting, force, iter)


def test_a_world_is_a_psg_data_set(tmp_path):
    assert write(tmp_path)
    dataset = load_psg(tmp_path)
    assert dataset.is_world
    assert dataset.problems == ()
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (5, 1)
    for record in dataset.records:
        ids = read_panoptic(dataset.panoptic_path(record))
        assert read_image(dataset.image_path(record)).size == (record.width, record.height) == (128, 96)
        for segment in record.segments:
            ys, xs = np.nonzero(ids == segment.id)
            assert len(xs) == segment.area
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == segment.bbox
        assert record.training_triples() == record.relations


def test_the_same_world_twice_is_the_same_bytes_and_cached(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    digests = [
        {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    ]
    assert digests[0] == digests[1]
    assert not write(tmp_path / "a")
    (lost,) = list((tmp_path / "a" / "images").glob("000001.png"))
    lost.unlink()
    with pytest.warns(SpadeWarning, match=r"000001\.png: is gone \(1 file in all\); the data set is made anew"):
        assert write(tmp_path / "a")
    assert hashlib.sha256(lost.read_bytes()).hexdigest() == digests[0][lost.relative_to(tmp_path / "a")]
    lost.write_bytes((tmp_path / "a" / "images" / "000002.png").read_bytes())
    with pytest.warns(SpadeWarning, match="its files were altered; the data set is made anew"):
        assert write(tmp_path / "a")
    assert hashlib.sha256(lost.read_bytes()).hexdigest() == digests[0][lost.relative_to(tmp_path / "a")]
    index = tmp_path / "a" / "psg.json"
    document = json.loads(index.read_text())
    document["data"][1]["relations"] = []
    index.write_text(json.dumps(document))
    with pytest.warns(SpadeWarning, match="its files were altered; the data set is made anew"):
        assert write(tmp_path / "a")
    assert hashlib.sha256(index.read_bytes()).hexdigest() == digests[0][index.relative_to(tmp_path / "a")]


def test_another_data_set_is_not_overwritten_unless_forced(tmp_path):
    write(tmp_path)
    with pytest.raises(SpadeError, match=r"psg\.json: another data set is there; .* `force`"):
        write(tmp_path, seed=2)
    assert write(tmp_path, seed=2, force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpadeError, match="a file stands where a folder is needed"):
        write(tmp_path / "file")
    with pytest.raises(SpadeError, match="a file stands where a folder is needed"):
        write(tmp_path / "file" / "below")


def test_files_of_others_are_not_touched_and_a_killed_world_goes_on(tmp_path, monkeypatch):
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "images" / "000000.png").write_text("precious")
    with pytest.raises(SpadeError, match="holds other files; name a new folder"):
        write(tmp_path / "mine")
    assert (tmp_path / "mine" / "images" / "000000.png").read_text() == "precious"

    def killed(numbers):
        yield from list(numbers)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "w", 6, (128, 96), 1, "closed", False, killed)
    with pytest.raises(SpadeError, match="holds other files"):
        write(tmp_path / "w", seed=2)
    assert write(tmp_path / "w")
    assert not (tmp_path / "w" / ".world.json").exists()


def test_what_scenes_hold():
    samples = [make_sample(11, i) for i in range(300)]
    predicates = Counter(PREDICATES[p] for s in samples for _, _, p in s.relations)
    labels = Counter(label for s in samples for label in s.labels)
    assert set(predicates) == set(PREDICATES)
    assert set(labels) == set(CLASSES)
    assert all(MIN_RELATIONS <= len(s.relations) <= MAX_RELATIONS for s in samples)
    assert all(MIN_SEGMENTS <= len(s.segments) <= MAX_SEGMENTS for s in samples)
    assert all(any(label in THINGS for label in s.labels) for s in samples)
    context = [flag for s in samples for flag in s.needs_context]
    assert sum(context) / len(context) > 0.15
    shares = [count / len(context) for count in predicates.values()]
    assert max(shares) < 0.25
    assert all(len({(a, b) for a, b, _ in s.relations}) == len(s.relations) for s in samples)


@pytest.mark.parametrize("setting", ["closed", "ovr", "ovdr"])
def test_novel_names_are_in_no_training_annotation_and_in_every_test(setting):
    objects, predicates = novel_names(setting)
    assert (bool(objects), bool(predicates)) == (setting == "ovdr", setting != "closed")
    assert objects <= set(CLASSES)
    assert predicates <= set(PREDICATES)
    dropped = 0
    for index in range(120):
        whole = make_sample(11, index)
        seen = trained(whole, setting)
        assert not objects & set(seen.labels)
        assert not predicates & {predicate for _, predicate, _ in seen.triples}
        assert set(np.unique(seen.ids)) - {0} == {identity for identity, *_ in seen.segments}
        assert set(seen.triples) <= set(whole.triples)
        assert seen.image is whole.image, "pixels stay"
        dropped += len(whole.relations) - len(seen.relations)
    assert (dropped > 0) == (setting != "closed")


def test_settings_on_disk(tmp_path):
    write(tmp_path, images=20, setting="ovdr")
    dataset = load_psg(tmp_path)
    assert dataset.classes == CLASSES, "test images need all names"
    objects, predicates = novel_names("ovdr")
    assert (dataset.novel_objects, dataset.novel_predicates) == (objects, predicates)
    assert not objects & set(dataset.for_training().classes)
    assert not predicates & set(dataset.for_training().predicates)
    train = {dataset.classes[s.category] for r in dataset.split("train") for s in r.segments}
    assert not objects & train
    assert objects & {dataset.classes[s.category] for r in dataset.split("test") for s in r.segments}
    assert not predicates & {dataset.predicates[p] for r in dataset.split("train") for _, _, p in r.relations}


def test_pixels_of_one_seed_are_pinned():
    """Equal pixels for equal seeds: a change of the world must raise its VERSION and this digest with it."""
    sample = make_sample(0, 0)
    assert hashlib.sha256(sample.image.tobytes()).hexdigest()[:16] == "2ab0d42a6702d148"
    assert hashlib.sha256(sample.ids.tobytes()).hexdigest()[:16] == "193ec594ae740033"


def test_captions_speak_of_what_is_there():
    sample = make_sample(0, 3)

    def nouns(label):
        return {"something", *(f"a {word}" for word in SYNONYMS[label])}

    told = {f"{a} {predicate} {b}" for s, predicate, o in sample.triples for a in nouns(s) for b in nouns(o)}
    named = {noun for label in sample.labels for noun in nouns(label)}
    for seed in range(30):
        text = web_caption(sample.triples, sample.labels, np.random.default_rng(seed))
        words = text.removeprefix("a picture of ").removeprefix("a photo of ").replace(", ", " and ")
        assert set(words.split(" and ")) <= told | named, text
