"""COCO files of segments in which something is wrong: that image is left out, and the rest is used."""

from __future__ import annotations

import pytest

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.files import write_json
from spade.segmentation.given import GivenSegments
from spade.structures.panoptic_png import write_panoptic
from tests.segmentation.test_given import IDS, coco

SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


def written(folder, *annotations, images=None):
    images = images or [{"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 6} for n in (1, 2)]
    rows = [{"id": n, "category_id": 18, "segmentation": SQUARE} | row for n, row in enumerate(annotations)]
    categories = [{"id": 18, "name": "dog"}, {"id": 187, "name": "sky"}]
    write_json(folder / "c.json", {"images": images, "annotations": rows, "categories": categories})
    return folder / "c.json"


def test_ids_as_numbers_and_as_text_are_the_same(tmp_path):
    given = GivenSegments(written(tmp_path, {"image_id": "1"}, {"image_id": 2}))
    assert [len(given.of(f"{n}.jpg", (8, 6)).segments) for n in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_id": 2, "category_id": 9999}, r"annotations\[2\]: category_id 9999 is the id of none"),
        ({"image_id": 2, "score": 3}, r"annotations\[2\]: a score of 3.0"),
        ({"image_id": 2, "category_id": None}, r"annotations\[2\]: category_id 'None' is no whole number"),
        ({"image_id": 2, "category_id": 18.5}, r"annotations\[2\]: category_id '18.5' is no whole number"),
        ({"image_id": 2, "category_id": True}, r"annotations\[2\]: category_id 'True' is no whole number"),
        ({"image_id": 77}, r"annotations\[2\]: image_id 77 is the id of none of its images"),
        ({}, r"annotations\[2\]: image_id is missing"),
        ({"image_id": 2, "segments_info": [{"id": 0, "category_id": 18}], "file_name": "a"}, "no panoptic png holds"),
    ],
)  # fmt: skip
def test_one_bad_annotation_leaves_its_image_out(tmp_path, wrong, message):
    with pytest.warns(SpadeWarning, match=rf"1 of 3 annotations cannot be used, .*{message}"):
        given = GivenSegments(written(tmp_path, {"image_id": 1}, {"image_id": 2}, wrong))
    assert len(given.of("1.jpg", (8, 6)).segments) == 1
    if wrong.get("image_id") == 2:
        with pytest.raises(SpadeError, match=r"no segments of 2\.jpg \(1 of its records cannot be used"):
            given.of("2.jpg", (8, 6))


def test_two_images_of_one_id_are_refused(tmp_path):
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": "1", "file_name": "2.jpg"}]
    with pytest.raises(SpadeError, match="two images of one id"):
        GivenSegments(written(tmp_path, {"image_id": 1}, images=images))


def test_polygons_in_shares_of_the_image_are_refused(tmp_path):
    given = GivenSegments(written(tmp_path, {"image_id": 1, "segmentation": [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]}))
    with pytest.raises(SpadeError, match=r"no mask of 1\.jpg has a pixel in the image; give polygons"):
        given.of("1.jpg", (8, 6))


def test_an_image_of_another_size_is_refused(tmp_path):
    given = GivenSegments(written(tmp_path, {"image_id": 1}))
    with pytest.raises(
        SpadeError, match=r"1\.jpg is 6 x 8, the file says 8 x 6 .turned by its EXIF .*; give the image"
    ):
        given.of("1.jpg", (6, 8))
    without = [{"id": 1, "file_name": "1.jpg"}]
    assert GivenSegments(written(tmp_path, {"image_id": 1}, images=without)).of("1.jpg", (6, 8)).width == 6


def test_two_annotations_of_one_png(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS)
    row = {"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 9, "category_id": 18}]}
    with pytest.raises(SpadeError, match=r"annotations\[1\]: a\.jpg has two annotations"):
        GivenSegments(coco(tmp_path, annotations=[row, row]))


@pytest.mark.parametrize("name", [r"C:\sets\coco\a.png", "/data/coco/a.png"])
def test_a_png_named_by_where_it_was_written_is_looked_for_beside_the_file(tmp_path, name):
    write_panoptic(tmp_path / "a.png", IDS)
    row = {"image_id": 5, "file_name": name, "segments_info": [{"id": 9, "category_id": 18}]}
    assert len(GivenSegments(coco(tmp_path, annotations=[row])).of("a.jpg", (8, 6)).segments) == 1
