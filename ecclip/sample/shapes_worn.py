"""Silhouettes of what people wear and carry."""

from __future__ import annotations

import math
from random import Random

from ecclip.sample.appearance import Appearance
from ecclip.sample.canvas import Canvas, Color, box, darker, lighter, mirror, oval, readable_on, smooth
from ecclip.sample.shape import Surface

METAL: Color = (196, 180, 130)


def t_shirt(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a T-shirt seen from the front."""
    shoulder, sleeve, hem = rng.uniform(27, 31), rng.uniform(7, 13), rng.uniform(84, 93)
    droop, waist, neck = rng.uniform(38, 50), rng.uniform(27, 32), rng.uniform(7, 9.5)
    edge = darker(skin.color, 0.45)
    half = [
        (50 - neck, 13),
        (shoulder, 17),
        (sleeve, droop),
        (sleeve + 11, droop + 8),
        (waist - 1, 36),
        (waist, 60),
        (waist - 2, hem),
    ]
    canvas.part(mirror(half), skin.paint, shade="fold", outline=edge)
    deep = rng.uniform(5, 8) if rng.random() < 0.6 else rng.uniform(11, 16)
    canvas.part(oval(50, 13, neck, deep, 0, 180), darker(skin.color, 0.55), outline=edge)
    canvas.line(oval(50, 13, neck + 1.6, deep + 2, 0, 180), edge, 0.5)
    for side in (1, -1):
        canvas.line([(50 - side * (50 - sleeve - 1.4), droop - 2), (50 - side * (37 - sleeve), droop + 5)], edge, 0.5)
        canvas.line([(50 - side * (50 - shoulder), 17), (50 - side * (51 - waist), 36)], edge, 0.4)
    canvas.line([(waist - 2, hem - 3), (102 - waist, hem - 3)], edge, 0.4)
    emblem(canvas, appearance, skin, rng, 50, rng.uniform(42, 50), rng.uniform(8, 12))


def emblem(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random, x: float, y: float, size: float) -> None:
    """Print the product's own drawing with the brand below it."""
    ink = readable_on(skin.color) if skin.pattern == "plain" else skin.ink
    shape = rng.choice(("round", "peak", "bars", "star", "wave", "none"))
    tone = skin.second if skin.pattern == "plain" else ink
    if skin.pattern != "plain":
        canvas.part(box(x - size * 1.7, y - size * 1.2, x + size * 1.7, y + size * 1.7, 2), lighter(skin.color, 0.85))
    if shape == "round":
        canvas.part(oval(x, y - size * 0.2, size * 0.9, size * 0.9), tone)
        canvas.part(oval(x, y - size * 0.2, size * 0.5, size * 0.5), lighter(tone, 0.5))
    elif shape == "peak":
        canvas.part(
            [(x - size * 1.3, y + size * 0.6), (x - size * 0.3, y - size), (x + size * 0.6, y + size * 0.6)], tone
        )
        canvas.part(
            [(x - size * 0.2, y + size * 0.6), (x + size * 0.6, y - size * 0.5), (x + size * 1.4, y + size * 0.6)],
            darker(tone, 0.3),
        )
    elif shape == "bars":
        for index in range(3):
            top = y - size + index * size * 0.6
            canvas.part(box(x - size * 1.4, top, x + size * (1.4 - 0.5 * index), top + size * 0.36), tone)
    elif shape == "star":
        points = [
            (x + size * r * math.sin(a), y - size * 0.1 - size * r * math.cos(a))
            for a, r in ((k * math.pi / 5, 1.1 if k % 2 == 0 else 0.45) for k in range(10))
        ]
        canvas.part(points, tone)
    elif shape == "wave":
        for index in range(3):
            row = y - size * 0.7 + index * size * 0.55
            canvas.line(
                [(x + t * size / 6, row + size * 0.18 * math.sin(t * 1.3)) for t in range(-8, 9)], tone, size * 0.16
            )
    canvas.text(x, y + size * 1.15, appearance.brand, ink, max(3.2, size * 0.5), limit=34)


def dress(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a dress: straps or short sleeves, a waist, a skirt that widens."""
    waist, hem, length = rng.uniform(38, 41), rng.uniform(14, 30), rng.uniform(88, 96)
    edge = darker(skin.color, 0.45)
    if rng.random() < 0.5:
        half = [(44, 8), (39, 8), (35, 18), (36.5, 25), (waist, 42), (hem + 8, 68), (hem, length)]
    else:
        half = [(42, 9), (33, 12), (26, 25), (33, 29), (36, 24), (waist, 42), (hem + 8, 68), (hem, length)]
    outline = mirror(half)
    sag = rng.uniform(0, 4)
    bottom = [(hem + (100 - 2 * hem) * t / 8, length + sag * math.sin(math.pi * t / 8)) for t in range(9)]
    outline = [*half, *bottom[1:-1], *outline[len(half) :]]
    canvas.part(outline, skin.paint, shade="fold", outline=edge)
    neck = 6 if half[0][0] >= 44 else 8
    canvas.part(oval(50, 8.5, neck, rng.uniform(5, 11), 0, 180), darker(skin.color, 0.55))
    belt = skin.second if rng.random() < 0.6 else darker(skin.color, 0.4)
    canvas.part(box(waist - 0.4, 40.5, 100.4 - waist, 44, 0.6), belt, outline=darker(belt))
    for t in range(1, 6):
        x = hem + (100 - 2 * hem) * t / 6
        canvas.line([(50 + (x - 50) * 0.28, 46), (50 + (x - 50) * 0.95, length - 1)], darker(skin.color, 0.22), 0.45)
    canvas.part(box(43, 47, 57, 51, 1), lighter(skin.color, 0.85))
    canvas.text(50, 49, appearance.brand, skin.ink, 3.2, limit=13)


def sneaker(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a low shoe from the side, toe to the right."""
    collar, toe, sole = rng.uniform(24, 42), rng.uniform(56, 64), rng.uniform(5, 13)
    edge, rubber = darker(skin.color, 0.5), (240, 240, 236) if rng.random() < 0.7 else skin.second
    floor = 70
    tongue = [(33, collar - 6), (42, collar - 9), (48, collar + 3), (40, collar + 10)]
    canvas.part(smooth(tongue), darker(skin.color, 0.25), outline=edge)
    upper = [
        (8, floor),
        (8, 52),
        (11, collar),
        (20, collar - 3),
        (31, collar + 4),
        (42, collar - 1),
        (55, 49),
        (70, 56),
        (86, toe),
        (94, 67),
        (95, floor),
    ]
    canvas.part(upper, skin.paint, shade="soft", gloss=skin.gloss, outline=edge)
    canvas.part(
        smooth([(80, floor), (82, 59), (90, 62), (95, 68), (95, floor)], 5), darker(skin.color, 0.18), outline=edge
    )
    canvas.part([(8, floor), (8, 52), (10, 44), (19, 49), (22, floor)], skin.second, shade="soft", outline=edge)
    midsole = [
        (6, floor - 1),
        (96, floor - 1),
        (97, floor + sole * 0.5),
        (92, floor + sole),
        (10, floor + sole),
        (5, floor + 4),
    ]
    canvas.part(midsole, rubber, shade="down", outline=darker(rubber, 0.45))
    canvas.line([(7, floor + sole * 0.55), (96, floor + sole * 0.55)], skin.second, 1.1)
    for index in range(4):
        x, y = 43 + index * 6.4, collar + 5 + index * 4.1
        canvas.line([(x - 3.5, y + 4), (x + 3.5, y - 1.5)], (250, 250, 248), 1.5)
    stripe = rng.choice(("swoop", "bars", "none"))
    if stripe == "swoop":
        canvas.part(smooth([(26, 66), (40, 58), (62, 60), (74, 58), (60, 64), (40, 64)]), skin.second, outline=edge)
    elif stripe == "bars":
        for x in (34, 41, 48):
            canvas.part([(x, 66), (x + 8, 52), (x + 11, 53), (x + 4, 66)], skin.second)
    canvas.text(45, 65.5, appearance.brand, readable_on(skin.color), 4.2, limit=30)


def boot(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a boot from the side, toe to the right."""
    top, shaft, heel = rng.uniform(8, 26), rng.uniform(46, 54), rng.uniform(5, 11)
    edge, floor, sole = darker(skin.color, 0.5), 82, (44, 40, 38) if rng.random() < 0.7 else (176, 140, 96)
    outline = [
        (20, floor),
        (19, 60),
        (17, top),
        (34, top - 1.5),
        (shaft, top),
        (shaft + 1, 50),
        (62, 58),
        (78, 63),
        (88, 70),
        (90, floor),
    ]
    canvas.part(outline, skin.paint, shade="soft", gloss=skin.gloss, outline=edge)
    canvas.part(
        smooth([(70, floor), (73, 63), (84, 66), (90, 74), (90, floor)], 5), darker(skin.color, 0.15), outline=edge
    )
    canvas.part(
        [(18, floor - 1), (92, floor - 1), (92, floor + 4), (38, floor + 4), (37, floor + heel), (18, floor + heel)],
        sole,
        outline=darker(sole, 0.5),
    )
    canvas.part(
        [(16.5, top - 2), (shaft + 0.5, top - 2), (shaft + 0.5, top + 5), (17, top + 5)], skin.second, outline=edge
    )
    if rng.random() < 0.6:
        for index in range(6):
            y = top + 11 + index * (44 - top + 8) / 6
            canvas.line([(shaft - 9, y + 2), (shaft + 1, y - 1)], lighter(sole, 0.6), 1.2)
    else:
        canvas.line([(30, top + 5), (31, 74)], METAL, 1.3)
        canvas.part(box(28.5, top + 7, 32, top + 13, 1), METAL)
    canvas.line([(19, 64), (40, 66), (62, 58)], darker(skin.color, 0.35), 0.6)
    canvas.text(54, 74, appearance.brand, readable_on(skin.color), 4.4, limit=26)


def backpack(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a backpack from the front."""
    left, top, bottom, round_ = rng.uniform(19, 31), rng.uniform(13, 26), rng.uniform(84, 95), rng.uniform(7, 19)
    right, edge = 100 - left, darker(skin.color, 0.5)
    canvas.line(oval(50, top + 1, 8, 9, 180, 360), darker(skin.color, 0.3), 2.6, covers=True)
    for side in (left + 1, right - 1):
        canvas.line(
            smooth([(side, 34), (side + (4 if side > 50 else -4), 56), (side, 84), (side, 60)], 5), edge, 3, covers=True
        )
    canvas.part(box(left, top, right, bottom, round_), skin.paint, shade="soft", gloss=skin.gloss, outline=edge)
    canvas.line(oval(50, top + 22, (right - left) / 2 - 4, 14, 180, 360), edge, 0.8)
    canvas.line(oval(50, top + 21, (right - left) / 2 - 4, 14, 180, 360), METAL, 0.4)
    pocket = rng.uniform(52, 60)
    plain = skin.second if rng.random() < 0.5 else darker(skin.color, 0.18)
    canvas.part(box(left + 5, pocket, right - 5, bottom - 5, 6), plain, shade="soft", outline=edge)
    canvas.line([(left + 8, pocket + 6), (right - 8, pocket + 6)], METAL, 0.9)
    canvas.part(box(right - 15, pocket + 6, right - 13, pocket + 12, 0.8), METAL)
    canvas.part(box(38, pocket + 13, 62, pocket + 21, 2), lighter(plain, 0.85), outline=edge)
    canvas.text(50, pocket + 17, appearance.brand, skin.ink, 4.6, limit=22)
    if rng.random() < 0.4:
        for x in (left + 10, right - 13):
            canvas.part(box(x, top + 12, x + 3, pocket + 4, 0.5), darker(plain, 0.4))


def handbag(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a handbag from the front."""
    top, wide, narrow, handle = rng.uniform(40, 48), rng.uniform(11, 18), rng.uniform(18, 30), rng.uniform(14, 22)
    edge = darker(skin.color, 0.5)
    canvas.line(
        oval(50, top + 1, handle, rng.uniform(22, 32), 180, 360),
        darker(skin.color, 0.35),
        rng.uniform(2.2, 3.6),
        covers=True,
    )
    body = [(narrow, top), (100 - narrow, top), (100 - wide, 86), (96 - wide, 90), (4 + wide, 90), (wide, 86)]
    canvas.part(body, skin.paint, shade="soft", gloss=skin.gloss, outline=edge, width=0.7)
    if rng.random() < 0.55:
        flap = [(narrow, top), (100 - narrow, top), (98 - narrow, top + 16), (50, top + 26), (2 + narrow, top + 16)]
        canvas.part(flap, darker(skin.color, 0.12), shade="down", outline=edge)
        canvas.part(box(46, top + 20, 54, top + 28, 1.5), METAL, outline=darker(METAL))
    else:
        canvas.line([(narrow + 1, top + 5), (99 - narrow, top + 5)], lighter(skin.color, 0.4), 0.4)
        for x in (50 - handle, 50 + handle):
            canvas.part(oval(x, top + 3, 2.4, 2.4), METAL, outline=darker(METAL))
    for offset in (0.0, 1.6):
        canvas.line([(wide + 3, 86 - offset), (97 - wide, 86 - offset)], darker(skin.color, 0.3), 0.3)
    canvas.part(box(37, 76, 63, 83.5, 1.5), METAL if rng.random() < 0.5 else lighter(skin.color, 0.85), outline=edge)
    canvas.text(50, 79.7, appearance.brand, (40, 34, 20), 4.4, limit=23)
