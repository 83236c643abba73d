"""Stuff regions of a scene, and the numbering of its nodes."""

from __future__ import annotations

from dataclasses import dataclass

from spade.world.layout import Scene, Thing


@dataclass(frozen=True)
class Region:
    """A stuff segment. ``top`` and ``bottom`` are heights on the image, shares from the top."""

    label: str
    top: float
    bottom: float


Node = Thing | Region


def stuff_of(scene: Scene) -> tuple[Region, ...]:
    """The stuff regions from top to bottom; two bands of one label are one region, as in panoptic maps."""
    regions = [Region(scene.back, 0.0, scene.horizon)] if scene.back else []
    if scene.mountain:
        regions.append(Region("mountain-merged", scene.horizon * 0.45, scene.horizon))
    edges: dict[str, tuple[float, float]] = {}
    start = 0.0
    for band in scene.bands:
        if band.label:
            top = edges[band.label][0] if band.label in edges else scene.ground_y(start)
            edges[band.label] = (top, scene.ground_y(band.near_edge))
        start = band.near_edge
    return tuple(regions + [Region(label, *edge) for label, edge in edges.items()])


def nodes_of(scene: Scene) -> tuple[Node, ...]:
    """Things, then stuff regions."""
    return scene.things + stuff_of(scene)
