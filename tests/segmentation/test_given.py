import gzip
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.files import write_json
from spade.segmentation.given import GivenSegments
from spade.structures.panoptic_png import read_panoptic, write_panoptic
from spade.structures.scene_graph import Relation, SceneGraph, Segment

IDS = np.zeros((6, 8), np.uint32)
IDS[:3], IDS[3:, :4] = 70_000, 9


def graph(**changes):
    segments = (
        Segment(70_000, "sky", 1, False, 0.5, (0, 0, 8, 3), 24),
        Segment(9, "dog", 0, True, 0.9, (0, 3, 4, 6), 12),
    )
    facts = {
        "relations": (Relation(9, 70_000, "over", 0.4),),
        "objects": ("dog", "sky"),
        "predicates": ("over",),
    } | changes
    return SceneGraph("a.jpg", 8, 6, segments, panoptic=IDS, **facts)


def coco(folder, **changes):
    document = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 8, "height": 6}],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 70_000, "category_id": 187, "iscrowd": 0},
                    {"id": 9, "category_id": 18, "iscrowd": 0},
                    {"id": 4, "category_id": 18, "iscrowd": 0},  # without a pixel
                ],
            }
        ],
        "categories": [
            {"id": 18, "name": "dog", "isthing": 1, "supercategory": "animal"},
            {"id": 187, "name": "sky-other-merged", "isthing": 0, "supercategory": "sky"},
        ],
    } | changes
    write_json(folder / "panoptic_val.json", document)
    return folder / "panoptic_val.json"


def test_a_scene_graph_gives_its_segments_and_not_its_relations(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS)
    write_json(tmp_path / "a.json", graph().to_json("a.png"))
    found = GivenSegments(tmp_path / "a.json").of(tmp_path / "elsewhere" / "a.jpg", (8, 6))
    assert [replace(segment, centroid=None) for segment in found.segments] == list(graph().segments)
    assert found.relations == ()
    assert np.array_equal(found.panoptic, IDS)


@pytest.mark.parametrize("place", ["panoptic_val", "panoptic", "."])
def test_coco_panoptic_with_its_pngs_in_the_usual_places(tmp_path, place):
    path = coco(tmp_path)
    write_panoptic(tmp_path / place / "a.png", IDS)
    given = GivenSegments(path)
    found = given.of(tmp_path / "a.jpg", (8, 6))
    assert [(s.label, s.category_id, s.is_thing, s.bbox, s.area, s.supercategory) for s in found.segments] == [
        ("sky-other-merged", 1, False, (0, 0, 8, 3), 24, "sky"),
        ("dog", 0, True, (0, 3, 4, 6), 12, "animal"),
    ]
    assert given.png_of(tmp_path / "a.jpg") == (tmp_path / place / "a.png").resolve() or given.png_of(
        tmp_path / "a.jpg"
    ).samefile(tmp_path / place / "a.png")


def test_boxes_and_areas_are_those_of_the_masks(tmp_path):
    """Whatever a scene graph says: somebody may have repainted its png."""
    ids = IDS.copy()
    ids[0], ids[ids == 9] = 5, 0  # the sky is lower, the dog is gone, and there is something that no segment tells of
    write_panoptic(tmp_path / "a.png", ids)
    write_json(tmp_path / "a.json", graph().to_json("a.png"))
    found = GivenSegments(tmp_path / "a.json").of("a.jpg", (8, 6))
    assert [(s.label, s.bbox, s.area) for s in found.segments] == [("sky", (0, 1, 8, 3), 16)]
    assert np.array_equal(found.panoptic, np.where(ids == 70_000, ids, 0))


def test_segments_of_another_png_are_refused(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS + 1)
    write_json(tmp_path / "a.json", graph().to_json("a.png"))
    for path in (tmp_path / "a.json", coco(tmp_path)):
        with pytest.raises(
            SpadeError, match=rf"a\.png: has no pixel of any segment that .*{path.name} names, such as 70000"
        ):
            GivenSegments(path).of("a.jpg", (8, 6))


def test_segments_without_a_pixel_are_told(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS)
    there = sorted(set(IDS.ravel().tolist()) - {0})[:1]

    def given(*absent):
        info = [{"id": number, "category_id": 18} for number in (*there, *absent)]
        path = coco(tmp_path, annotations=[{"image_id": 5, "file_name": "a.png", "segments_info": info}])
        return GivenSegments(path).of("a.jpg", (8, 6))

    with pytest.warns(SpadeWarning, match=r"a\.png: 1 of 2 segments of a\.jpg have no pixel in it, and are left out"):
        assert len(given(123).segments) == 1
    with pytest.raises(SpadeError, match=r"a\.png: 2 of 3 segments of a\.jpg have no pixel in it; write ids as"):
        given(123, 124)


def test_more_segments_than_can_be_related(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS)
    info = [{"id": number + 1, "category_id": 18} for number in range(1001)]
    path = coco(tmp_path, annotations=[{"image_id": 5, "file_name": "a.png", "segments_info": info}])
    with pytest.raises(SpadeError, match=r"a\.jpg has 1001 segments; at most 1000 of an image can be related"):
        GivenSegments(path).of("a.jpg", (8, 6))


def test_a_record_that_cannot_be_used_is_told(world, tmp_path):
    document = json.loads((world / "psg.json").read_text())
    document["data"][0]["relations"] = [[0, 99, 0]]
    (tmp_path / "psg.json").write_text(json.dumps(document))
    name = document["data"][0]["file_name"].split("/")[-1]
    with pytest.raises(
        SpadeError, match=rf"has no segments of {name} \(1 of its records cannot be used; .*relations\[0\] \[0, 99, 0\]"
    ):
        GivenSegments(tmp_path / "psg.json").of(name, (128, 128))


def test_a_record_that_stands_alone_has_the_official_names(shared, tmp_path):
    folder = shared / "data" / "psg_mini"
    record = json.loads((folder / "psg.json").read_text())["data"][0]
    alone = tmp_path / "record.json"
    alone.write_text(json.dumps(record))
    (tmp_path / record["pan_seg_file_name"]).parent.mkdir(parents=True)
    shutil.copy(folder / record["pan_seg_file_name"], tmp_path / record["pan_seg_file_name"])
    name, size = record["file_name"], (record["width"], record["height"])
    assert GivenSegments(alone).of(name, size).segments == GivenSegments(folder / "psg.json").of(name, size).segments


def test_a_png_of_another_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = coco(tmp_path)
    write_panoptic(tmp_path / "a.png", np.zeros((60, 80), np.uint32))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(SpadeError, match="this panoptic png is 80 x 60, its image 8 x 6"):
        GivenSegments(path).of("a.jpg", (8, 6))


def test_a_repainted_map_is_another_source(tmp_path):
    write_panoptic(tmp_path / "a.png", IDS)
    write_json(tmp_path / "a.json", graph().to_json("a.png"))
    assert GivenSegments(str(tmp_path / "a.json")).png_of(tmp_path / "a.jpg") == tmp_path / "a.png"
    assert GivenSegments(tmp_path / "a.json").png_of(tmp_path / "b.jpg") is None


def test_two_images_of_one_name_are_refused(world, tmp_path):
    document = json.loads((world / "psg.json").read_text())
    first, second = document["data"][:2]
    second["file_name"] = f"elsewhere/{first['file_name'].split('/')[-1]}"
    (tmp_path / "psg.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match="two of its images are called"):
        GivenSegments(tmp_path / "psg.json")
    second["file_name"] = first["file_name"]  # annotated twice
    (tmp_path / "psg.json").write_text(json.dumps(document))
    name = first["file_name"].split("/")[-1]
    write_panoptic(tmp_path / first["pan_seg_file_name"], read_panoptic(world / first["pan_seg_file_name"]))
    found = GivenSegments(tmp_path / "psg.json").of(name, (128, 128))
    assert {s.id for s in found.segments} == {s["id"] for s in first["segments_info"]}, "the first counts"


@pytest.mark.parametrize(
    "value",
    [
        {"id": 0},
        {"id": 1 << 24},
        {"id": 7.9},
        {"label": " "},
        {"is_thing": "no"},
        {"category_id": -1},
        {"score": 2.0},
        {"score": -1},
        {"area": -5},
        {"area": 10**400},
        {"bbox": [0, 0, 9, 6]},
    ],
)
def test_numbers_that_no_segment_has(tmp_path, value):
    write_panoptic(tmp_path / "a.png", IDS)
    document = graph().to_json("a.png")
    document["segments"][0] |= value
    document["relations"] = []
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match=next(iter(value))):
        GivenSegments(tmp_path / "a.json")


def test_a_world_is_a_psg_file(world):
    given = GivenSegments(world / "psg.json")
    found = given.of(world / "images" / "000004.png", (128, 128))
    record = next(
        r for r in json.loads((world / "psg.json").read_text())["data"] if r["file_name"].endswith("000004.png")
    )
    assert {s.id for s in found.segments} == {s["id"] for s in record["segments_info"]}
    assert {s.id: s.area for s in found.segments} == {s["id"]: s["area"] for s in record["segments_info"]}
    packed = world.parent / "packed"
    shutil.copytree(world / "panoptic", packed / "panoptic")
    (packed / "psg.json.gz").write_bytes(gzip.compress((world / "psg.json").read_bytes()))
    assert GivenSegments(packed / "psg.json.gz").of(world / "000004.png", (128, 128)).segments == found.segments


def test_real_coco_panoptic(shared):
    folder = shared / "data" / "coco_panoptic_sample"
    found = GivenSegments(folder / "panoptic.json").of(folder / "images" / "000000142238.jpg", (640, 427))
    document = json.loads((folder / "panoptic.json").read_text())
    (annotation,) = [a for a in document["annotations"] if a["file_name"] == "000000142238.png"]
    boxes = {
        s["id"]: [s["bbox"][0], s["bbox"][1], s["bbox"][0] + s["bbox"][2], s["bbox"][1] + s["bbox"][3]]
        for s in annotation["segments_info"]
    }
    assert {s.id: list(s.bbox) for s in found.segments} == boxes
    assert {s.id: s.area for s in found.segments} == {s["id"]: s["area"] for s in annotation["segments_info"]}


def test_refusals(tmp_path):
    path = coco(tmp_path)
    given = GivenSegments(path)
    with pytest.raises(SpadeError, match=r"no segments of b\.jpg; its images are a\.jpg; name a file that has them"):
        given.of(tmp_path / "b.jpg", (8, 6))
    with pytest.raises(SpadeError, match="no such panoptic png"):
        given.of(tmp_path / "a.jpg", (8, 6))
    write_panoptic(tmp_path / "a.png", IDS)
    with pytest.raises(SpadeError, match=r"a\.jpg is 9 x 6, the file says 8 x 6; give the image"):
        GivenSegments(path).of(tmp_path / "a.jpg", (9, 6))
    for content, told in (
        ("rubbish", "is no json object"),
        ("[]", "is no json object"),
        ('{"a": 1}', "its top-level names are a"),
        ("{}", "none"),
    ):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(SpadeError, match=told):
            GivenSegments(tmp_path / "x.json")
    missing = tmp_path / "nowhere.json"
    with pytest.raises(SpadeError, match=re.escape(f"{missing}: cannot be read")):
        GivenSegments(missing)
    categories = [{"id": 18, "name": "dog"}, {"id": 187, "name": "sky"}]
    for changes in (
        {"categories": [{"id": 18, "name": None}, categories[1]]},
        {"categories": [categories[0] | {"supercategory": ["a"]}, categories[1]]},
        {"categories": [*categories, categories[0]]},
        {"annotations": [{}]},
        {"annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": []}]},
        {"images": 3},
    ):
        with pytest.raises(SpadeError, match="is no COCO file of segments"):
            GivenSegments(coco(tmp_path, **changes))
    for segments in ([{"id": 3, "category_id": 18}] * 2, [{"id": 0, "category_id": 18}]):
        twice = {"annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}]}
        with pytest.raises(SpadeError, match="segment id twice, or one that no panoptic png holds"):
            GivenSegments(coco(tmp_path, **twice))
    far = {"annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 3, "category_id": 10**400}]}]}
    (tmp_path / "panoptic_val.json").write_text(json.dumps(json.loads(coco(tmp_path).read_text()) | far))
    with pytest.raises(SpadeError, match="is no COCO file of segments"):
        GivenSegments(tmp_path / "panoptic_val.json")
    out = {"annotations": [{"image_id": 5, "file_name": "../a.png", "segments_info": []}]}
    with pytest.raises(SpadeError, match="leaves its folder"):
        GivenSegments(coco(tmp_path, **out))
