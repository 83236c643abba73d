"""Colours of the world's things."""

from __future__ import annotations

from spade.world.brush import Colour
from spade.world.layout import Thing

SHIRTS: tuple[Colour, ...] = (
    (200, 48, 52),
    (46, 84, 190),
    (236, 196, 60),
    (240, 240, 240),
    (120, 60, 150),
    (40, 150, 120),
)

CARS: tuple[Colour, ...] = ((196, 40, 40), (40, 80, 180), (230, 230, 232), (52, 54, 60), (240, 170, 40))
COATS: tuple[Colour, ...] = ((120, 78, 44), (60, 44, 36), (176, 132, 84), (210, 204, 196))
CATS: tuple[Colour, ...] = ((230, 140, 60), (70, 70, 76), (225, 220, 212))
BRIGHT: tuple[Colour, ...] = ((236, 64, 120), (250, 150, 30), (70, 200, 190), (250, 230, 70))
CLOTH: tuple[Colour, ...] = ((150, 60, 60), (70, 100, 140), (120, 130, 80), (170, 140, 110))
SKINS: tuple[Colour, ...] = ((232, 186, 150), (196, 144, 108), (120, 82, 58))
HAIR: tuple[Colour, ...] = ((70, 48, 34), (30, 28, 30), (190, 150, 80))
TROUSERS: tuple[Colour, ...] = ((52, 60, 92), (70, 66, 60), (40, 40, 44))
METAL: Colour = (70, 74, 82)


def pick(colours: tuple[Colour, ...], thing: Thing, turn: int = 0) -> Colour:
    """One of the colours, by the thing's tint; ``turn`` gives the same thing another."""
    return colours[(int(thing.tint * 997) // (turn * 7 + 1)) % len(colours)]


def dark(colour: Colour, by: float = 0.7) -> Colour:
    """A darker shade."""
    return (int(colour[0] * by), int(colour[1] * by), int(colour[2] * by))
