"""Every rule on a layout made by hand: once where it holds, once where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spade.world.layout import Band, Scene, Thing
from spade.world.rules import PREDICATES, RULES, nodes_of, predicate_of, relations, stuff_of

PERSON = Thing("person", 0.3, 0.6, "standing", 1, 0.0)
DOG = Thing("dog", 0.7, 0.6, "standing", -1, 0.0)


BEACH = (Band("sea", 0.3), Band("sand", 1.0))


def scene(*things, mountain=False, bands=BEACH):
    return Scene(128, 128, 0.35, mountain, bands, things, 1.0, 0.0, 1)


def named(layout):
    nodes = nodes_of(layout)
    return {(nodes[s].label, p, nodes[o].label) for s, p, o in relations(layout)}


def test_all_predicates_have_a_rule():
    assert set(RULES) == set(PREDICATES)


@pytest.mark.parametrize(
    ("pose", "predicate"),
    [("standing", "standing on"), ("walking", "walking on"), ("lying", "lying on"), ("sitting", "sitting on"), ("resting", "on")],
)
def test_poses_on_the_ground_at_the_feet(pose, predicate):
    layout = scene(replace(PERSON, pose=pose))
    assert ("person", predicate, "sand") in named(layout)
    assert ("person", predicate, "sea") not in named(layout)
    far = scene(replace(PERSON, pose=pose, depth=0.2))
    assert ("person", predicate, "sea") in named(far)
    in_the_air = scene(replace(PERSON, pose=pose, altitude=0.2))
    assert ("person", predicate, "sand") not in named(in_the_air)


@pytest.mark.parametrize(("pose", "predicate"), [("parked", "parked on"), ("driving", "driving on")])
def test_cars(pose, predicate):
    road = (Band("grass-merged", 0.4), Band("road", 0.8), Band("grass-merged", 1.0))
    car = Thing("car", 0.5, 0.6, pose, 1, 0.0)
    assert named(scene(car, bands=road)) == {("car", predicate, "road"), ("sky-other-merged", "over", "grass-merged")}


def test_riding_and_sitting_on_what_carries_it():
    horse = Thing("horse", 0.5, 0.6, "standing", 1, 0.0)
    rider = replace(PERSON, x=0.5, pose="riding", on=0, altitude=0.2)
    assert ("person", "riding", "horse") in named(scene(horse, rider))
    bench = Thing("bench", 0.5, 0.6, "standing", 1, 0.0)
    sitter = replace(PERSON, x=0.5, pose="sitting", on=0, altitude=0.1)
    got = named(scene(bench, sitter))
    assert ("person", "sitting on", "bench") in got
    assert ("person", "sitting on", "sand") not in got


def test_holding_needs_the_string():
    kite = Thing("kite", 0.6, 0.7, "flying", 1, 0.0, altitude=0.6)
    assert ("person", "holding", "kite") in named(scene(kite, replace(PERSON, holds=0)))
    assert ("person", "holding", "kite") not in named(scene(kite, PERSON))


def test_playing_needs_a_ball_before_the_nose():
    ball = Thing("sports ball", 0.5, 0.6, "resting", 1, 0.0)
    assert ("dog", "playing with", "sports ball") in named(scene(DOG, ball))
    assert ("dog", "playing with", "sports ball") not in named(scene(replace(DOG, facing=1), ball))
    assert ("dog", "playing with", "sports ball") not in named(scene(replace(DOG, pose="lying"), ball))
    assert ("dog", "playing with", "sports ball") not in named(scene(DOG, replace(ball, depth=0.8)))


def test_gaze_stops_at_the_first_thing_it_meets():
    layout = scene(PERSON, DOG)
    assert ("person", "looking at", "dog") in named(layout)
    assert ("dog", "looking at", "person") in named(layout)
    bench = Thing("bench", 0.5, 0.6, "standing", 1, 0.0)
    blocked = named(scene(PERSON, DOG, bench))
    assert ("person", "looking at", "bench") in blocked
    assert ("person", "looking at", "dog") not in blocked
    away = scene(replace(PERSON, facing=-1), DOG)
    assert ("person", "looking at", "dog") not in named(away)
    assert ("person", "looking at", "dog") not in named(scene(replace(PERSON, depth=0.95), DOG))


def test_in_front_of_needs_depth_and_overlap():
    bench = Thing("bench", 0.3, 0.8, "standing", 1, 0.0)
    back = replace(PERSON, facing=-1)
    assert ("bench", "in front of", "person") in named(scene(bench, back))
    assert ("person", "in front of", "bench") not in named(scene(bench, back))
    assert ("bench", "in front of", "person") not in named(scene(replace(bench, x=0.8), back))


def test_beside_has_one_direction_and_nothing_between():
    left, right = Thing("bench", 0.25, 0.6, "standing", 1, 0.0), Thing("horse", 0.65, 0.6, "standing", 1, 0.0)
    assert ("bench", "beside", "horse") in named(scene(left, right))
    assert ("horse", "beside", "bench") not in named(scene(left, right))
    between = Thing("sports ball", 0.45, 0.6, "resting", 1, 0.0)
    assert ("bench", "beside", "horse") not in named(scene(left, right, between))
    assert ("bench", "beside", "horse") not in named(scene(left, replace(right, depth=0.9)))


def test_over_and_flying_over_take_what_is_behind():
    bird = Thing("bird", 0.5, 0.7, "flying", 1, 0.0, altitude=0.6)
    assert named(scene(bird)) == {("bird", "flying over", "sea"), ("sky-other-merged", "over", "sea")}
    high = named(scene(bird, mountain=True))
    assert high == {("bird", "flying over", "mountain-merged"), ("sky-other-merged", "over", "mountain-merged")}


def test_two_bands_of_one_label_are_one_region():
    road = (Band("grass-merged", 0.4), Band("road", 0.8), Band("grass-merged", 1.0))
    labels = [region.label for region in stuff_of(scene(bands=road))]
    assert labels == ["sky-other-merged", "grass-merged", "road"]


def test_one_predicate_a_pair_by_priority():
    ball = Thing("sports ball", 0.5, 0.6, "resting", 1, 0.0)
    layout = scene(DOG, ball)
    assert RULES["looking at"](layout, DOG, ball)
    assert predicate_of(layout, DOG, ball) == "playing with"
