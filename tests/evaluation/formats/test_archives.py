"""What may be wrong with an archive of predictions, and with its members."""

from __future__ import annotations

import zipfile

import pytest

from spade.core.errors import SpadeError
from spade.evaluation.formats.sources import open_predictions
from tests.evaluation.formats.test_importers import small, write_zip  # noqa: F401 - a fixture


def test_bad_archives(small):  # noqa: F811
    dataset, image, tiff = small
    with pytest.raises(SpadeError, match=r's.zip: the path "../evil.txt" leaves its folder'):
        open_predictions(write_zip(dataset, image, tiff, ["../evil.txt"]), dataset)
    assert not (dataset.root.parent / "evil.txt").exists()
    with pytest.raises(SpadeError, match='"/etc/evil" leaves its folder'):
        open_predictions(write_zip(dataset, image, tiff, ["/etc/evil"]), dataset)
    with pytest.raises(SpadeError, match="image 1 occurs twice"):
        open_predictions(write_zip(dataset, [image, image], tiff), dataset)
    assert open_predictions(write_zip(dataset, [image, image], tiff), dataset, lenient=True).problems
    with pytest.raises(SpadeError, match="image 9 is not in"):
        open_predictions(write_zip(dataset, [image, image | {"id": "9"}], tiff), dataset)
    with pytest.raises(SpadeError, match=r"images\[0\] has no id"):
        open_predictions(write_zip(dataset, {"triplets": []}, tiff), dataset)
    other = dataset.root / "o.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("x.json", "{}")
    with pytest.raises(SpadeError, match=r"holds neither sgbench's triplets.json nor"):
        open_predictions(other, dataset)
    with pytest.raises(SpadeError, match=r"holds neither predictions.jsonl nor relation.json"):
        open_predictions(dataset.root, dataset)
    with pytest.raises(SpadeError, match="no such prediction file"):
        open_predictions(dataset.root / "none", dataset)


def test_a_member_of_a_zip_with_another_name_in_its_header(small):  # noqa: F811
    dataset, image, tiff = small
    path = write_zip(dataset, image, tiff)
    data = bytearray(path.read_bytes())
    data[data.index(b"triplets.json")] = 0xC6  # of the member's own header; the directory at the end has it right
    path.write_bytes(bytes(data))
    with pytest.raises(SpadeError, match=r"s.zip: triplets.json cannot be read"):
        open_predictions(path, dataset)


def test_a_submission_one_folder_down(small):  # noqa: F811
    dataset, _, _ = small
    packed = dataset.root / "p.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mine/panseg/1.png", b"")
        archive.writestr("mine/relation.json", "[]")
    with pytest.raises(SpadeError, match=r"has relation.json in the folder mine, not at the top; pack what is in mine"):
        open_predictions(packed, dataset)
    (dataset.root / "all" / "mine").mkdir(parents=True)
    (dataset.root / "all" / "mine" / "relation.json").write_text("[]")
    with pytest.raises(SpadeError, match=r"holds neither predictions.jsonl nor relation.json; name the folder .*mine"):
        open_predictions(dataset.root / "all", dataset)


def test_a_damaged_member_of_a_zip(small):  # noqa: F811
    dataset, image, tiff = small
    path = write_zip(dataset, image, tiff)
    data = bytearray(path.read_bytes())
    data[data.rindex(tiff[:16]) + 20] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(SpadeError, match=r"image 1: .*1\.tiff cannot be read"):
        open_predictions(path, dataset).get(dataset.records[0])


def test_names_of_members_with_the_slashes_of_windows(small):  # noqa: F811
    dataset, image, tiff = small
    path = write_zip(dataset, image | {"seg_filename": "masks/1.tiff"}, tiff, name="masks\\1.tiff")
    assert open_predictions(path, dataset).get(dataset.records[0]).layers.maps


def test_what_else_a_zip_may_hold(small):  # noqa: F811
    dataset, _, _ = small
    packed = dataset.root / "p.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__MACOSX/mine/relation.json", "[]")
        archive.writestr("predictions.jsonl", "{}")
    with pytest.raises(SpadeError, match=r"holds predictions\.jsonl, which is read where it lies; unpack it"):
        open_predictions(packed, dataset)
    packed.write_bytes(packed.read_bytes()[:60])
    with pytest.raises(SpadeError, match=r"p\.zip: this zip cannot be opened \(.*\); pack the predictions anew"):
        open_predictions(packed, dataset)
