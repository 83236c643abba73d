"""Which relations hang on a third segment: asked of the rules, scene by scene with that segment taken away."""

from __future__ import annotations

from spade.world.layout import Scene, Thing, without, without_stuff
from spade.world.regions import Node, nodes_of, stuff_of
from spade.world.rules import predicate_of


def needs_context(scene: Scene, relation: tuple[int, str, int]) -> bool:
    """Whether the relation changes or vanishes when some third segment is taken away."""
    s, name, o = relation
    for third, node in enumerate(nodes_of(scene)):
        if third in (s, o):
            continue
        smaller = without(scene, third) if isinstance(node, Thing) else without_stuff(scene, node.label)
        subject, target = _same(scene, smaller, third, s), _same(scene, smaller, third, o)
        if subject is None or target is None or predicate_of(smaller, subject, target) != name:
            return True
    return False


def _same(scene: Scene, smaller: Scene, removed: int, number: int) -> Node | None:
    """The node of the smaller scene that was ``number`` in the whole one."""
    count = len(scene.things)
    if number < count:
        return smaller.things[number - (removed < number)]
    label = stuff_of(scene)[number - count].label
    return next((region for region in stuff_of(smaller) if region.label == label), None)
