"""Silhouettes of what stands in a home, a cellar and a toolbox."""

from __future__ import annotations

import math
from random import Random

from ecclip.sample.appearance import Appearance
from ecclip.sample.canvas import Canvas, Color, box, darker, lighter, mirror, oval, readable_on, smooth
from ecclip.sample.shape import Surface

STEEL: Color = (176, 182, 190)
WOOD: tuple[Color, ...] = ((150, 102, 60), (196, 152, 104), (92, 60, 38))


def mug(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a mug from the side, a little from above."""
    left, right, top = rng.uniform(18, 24), rng.uniform(62, 70), rng.uniform(18, 32)
    bottom, taper, flat = rng.uniform(80, 88), rng.uniform(0, 6), rng.uniform(3.5, 6)
    edge, middle = darker(skin.color, 0.4), (left + right) / 2
    reach, drop = rng.uniform(11, 17), rng.uniform(0.24, 0.32) * (bottom - top)
    canvas.line(
        oval(right - 1, (top + bottom) / 2 - 2, reach, drop, -90, 90),
        darker(skin.color, 0.22),
        rng.uniform(4, 6),
        covers=True,
    )
    side = [(left, top), *oval(middle, bottom - 3, (right - left) / 2 - taper, flat, 180, 0), (right, top)]
    canvas.part(side, skin.paint, shade="cylinder", gloss="streak" if skin.gloss else "", outline=edge)
    canvas.part(oval(middle, top, (right - left) / 2, flat), lighter(skin.color, 0.3), outline=edge)
    coffee = (88, 54, 32) if rng.random() < 0.5 else darker(skin.color, 0.45)
    canvas.part(oval(middle, top + 0.8, (right - left) / 2 - 2.4, flat - 1.4), coffee)
    if skin.pattern == "plain" and rng.random() < 0.5:
        for offset in (0, 3):
            canvas.line([(left + 0.6, bottom - 14 + offset), (right - 0.6, bottom - 14 + offset)], skin.second, 1.2)
    _badge(canvas, appearance, skin, rng, middle, (top + bottom) / 2 + 1)


def _badge(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random, x: float, y: float) -> None:
    shape = rng.choice(("round", "plate", "heart", "print"))
    ground: Color = (248, 244, 234)
    if shape == "round":
        canvas.part(oval(x, y, 13, 13), ground, outline=skin.ink)
    elif shape == "plate":
        canvas.part(box(x - 16, y - 6, x + 16, y + 6, 2), ground, outline=skin.ink)
    elif shape == "heart":
        canvas.part(
            smooth([(x, y + 15), (x - 15, y - 1), (x - 8, y - 11), (x, y - 5), (x + 8, y - 11), (x + 15, y - 1)]),
            ground,
        )
    ink = readable_on(skin.color) if shape == "print" and skin.pattern == "plain" else skin.ink
    if shape == "print" and skin.pattern != "plain":
        canvas.part(box(x - 17, y - 4, x + 17, y + 4, 1), ground)
    canvas.text(x, y, appearance.brand, ink, 6, limit=24 if shape != "print" else 32)


def lamp(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a table lamp: base, stem, shade."""
    wide, narrow, low = rng.uniform(18, 26), rng.uniform(30, 42), rng.uniform(46, 54)
    stem = rng.choice((STEEL, *WOOD, (60, 60, 66), (190, 160, 90)))
    edge = darker(stem, 0.45)
    body = rng.choice(("pole", "vase", "cone"))
    if body == "pole":
        canvas.part(box(48.4, low, 51.6, 90), stem, shade="cylinder", outline=edge)
    elif body == "vase":
        canvas.part(
            smooth(mirror([(47, low), (40, low + 10), (34, 72), (40, 88)])),
            stem,
            shade="cylinder",
            gloss="streak",
            outline=edge,
        )
    else:
        canvas.part([(48, low), (52, low), (59, 89), (41, 89)], stem, shade="cylinder", outline=edge)
    canvas.part(oval(50, 90, rng.uniform(15, 21), 4), darker(stem, 0.1), shade="soft", outline=edge)
    canvas.line([(62, low - 1), (62, low + 9)], (120, 110, 90), 0.5, covers=True)
    canvas.part(oval(62, low + 10, 1.1, 1.1), stem)
    shade = [(narrow, 12), (100 - narrow, 12), *oval(50, low, 50 - wide, 2.5, 0, 180)]
    canvas.part(shade, skin.paint, shade="cylinder", outline=darker(skin.color, 0.4))
    canvas.part(shade, None, gloss="glow")
    trim = skin.second
    canvas.line([(narrow, 13), (100 - narrow, 13)], trim, 1.2)
    canvas.line(oval(50, low - 1, 49.5 - wide, 2.5, 8, 172), trim, 1.2)
    canvas.text(50, 90.2, appearance.brand, readable_on(darker(stem, 0.1)), 3.8, limit=24)


def chair(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a chair half from the side."""
    top, seat, lean = rng.uniform(6, 14), rng.uniform(50, 56), rng.uniform(0, 5)
    frame = STEEL if appearance.material == "steel" else rng.choice(WOOD)
    edge, back = darker(frame, 0.4), darker(frame, 0.3)
    for x, foot in ((36.0, 33), (77.0, 81)):
        canvas.part([(x, seat), (x + 3, seat), (foot + 2.4, 86), (foot, 86)], back, outline=darker(back))
    left = 25 - lean
    style = rng.choice(("panel", "slats", "round"))
    if style == "panel":
        canvas.part(
            box(left, top, 70, seat - 6, 5), skin.paint, shade="soft", gloss=skin.gloss, outline=edge, width=0.7
        )
    elif style == "round":
        canvas.part(
            smooth([(left, seat - 4), (left, top + 10), (47, top - 2), (70, top + 10), (69, seat - 4)]),
            skin.paint,
            shade="soft",
            gloss=skin.gloss,
            outline=edge,
            width=0.7,
        )
    else:
        canvas.part(
            box(left, top, 70, top + 12, 3), skin.paint, shade="soft", gloss=skin.gloss, outline=edge, width=0.7
        )
        for index in range(5):
            x = left + 2 + index * (64 - left) / 4
            canvas.part(box(x, top + 12, x + 2.6, seat), frame, outline=edge)
    canvas.part(
        [(22, seat - 3), (72, seat - 3), (80, seat + 4), (79, seat + 9), (18, seat + 9), (17, seat + 4)],
        skin.paint,
        shade="down",
        gloss=skin.gloss,
        outline=edge,
        width=0.7,
    )
    for x, foot in ((20, 17), (73, 76)):
        canvas.part(
            [(x, seat + 8), (x + 4, seat + 8), (foot + 3.2, 96), (foot, 96)], frame, shade="cylinder", outline=edge
        )
    if rng.random() < 0.5:
        canvas.line([(21, 80), (75, 80)], frame, 1.6, covers=True)
    canvas.part(box(38, top + 3, 60, top + 9, 1), (246, 240, 226), outline=edge)
    canvas.text(49, top + 6, appearance.brand, skin.ink, 4.4, limit=20)


def juice(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a carton or a bottle of juice with its fruit."""
    edge, cap = darker(skin.color, 0.45), rng.choice(((240, 240, 236), (40, 120, 60), (200, 50, 50), (250, 200, 60)))
    top, wide = rng.uniform(24, 30), rng.uniform(24, 33)
    if rng.random() < 0.55:
        left, right = wide, 100 - wide - 9
        canvas.part(
            [(right, top), (right + 10, top - 5), (right + 10, 90), (right, 94)], darker(skin.color, 0.3), outline=edge
        )
        canvas.part(
            [(left, top), (left + 10, top - 13), (right + 8, top - 13), (right + 10, top - 5), (right, top)],
            lighter(skin.color, 0.25),
            outline=edge,
        )
        canvas.part(box(left, top, right, 94), skin.color, shade="soft", outline=edge)
        canvas.part(oval((left + right) / 2 + 5, top - 8, 4.5, 3.5), cap, outline=darker(cap))
    else:
        left, right = wide + 3, 97 - wide
        half = [(44, 12), (44, 20), (left + 2, top + 9), (left, top + 16), (left, 90), (left + 4, 95)]
        canvas.part(mirror(half), skin.color, shade="cylinder", gloss="streak", outline=edge)
        canvas.part(box(42.5, 6, 57.5, 14, 1.5), cap, shade="cylinder", outline=darker(cap))
    middle, ground = (left + right) / 2, (250, 248, 236)
    canvas.part(box(left, 44, right, 86), ground, shade="cylinder")
    canvas.text(middle, 50, appearance.brand, skin.ink, 7, limit=(right - left) - 4)
    _fruit(canvas, appearance.kind, middle, 66)
    canvas.text(middle, 81, appearance.kind.upper(), darker(skin.color, 0.3), 5, limit=(right - left) - 6)


def _fruit(canvas: Canvas, kind: str, x: float, y: float) -> None:
    if kind == "grape":
        for row, count in enumerate((4, 3, 2, 1)):
            for index in range(count):
                canvas.part(
                    oval(x + (index - (count - 1) / 2) * 5.6, y - 6 + row * 4.6, 3, 3),
                    (112, 52, 150),
                    gloss="spot",
                    outline=(70, 30, 100),
                )
    elif kind == "strawberry":
        canvas.part(
            smooth([(x, y + 11), (x - 10, y - 4), (x - 5, y - 9), (x + 5, y - 9), (x + 10, y - 4)]),
            (214, 36, 52),
            gloss="spot",
        )
        for dx, dy in ((-4, -3), (3, -4), (0, 2), (-2, 6), (5, 1)):
            canvas.part(oval(x + dx, y + dy, 0.7, 0.9), (250, 220, 120))
    elif kind == "lemon":
        canvas.part(
            smooth([(x - 13, y), (x - 7, y - 8), (x + 7, y - 8), (x + 13, y), (x + 7, y + 8), (x - 7, y + 8)]),
            (250, 216, 60),
            gloss="spot",
        )
    else:
        canvas.part(
            oval(x, y, 10, 10), (244, 138, 30) if kind == "orange" else (124, 178, 58), shade="soft", gloss="spot"
        )
        if kind == "orange":
            canvas.part(oval(x + 7, y + 4, 7, 7), (252, 196, 96), outline=(244, 138, 30), width=1)
    canvas.part(smooth([(x, y - 9), (x + 6, y - 15), (x + 11, y - 13), (x + 5, y - 9)]), (70, 140, 60))


def wine(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a bottle of wine or spirits with its label."""
    tints: dict[str, Color] = {
        "red wine": (58, 22, 30),
        "white wine": (196, 196, 104),
        "whisky": (170, 98, 34),
        "gin": (150, 196, 226),
        "rum": (58, 38, 28),
    }
    tint, foil = tints[appearance.kind], rng.choice(((120, 24, 36), (200, 168, 84), (30, 30, 34), (34, 72, 58)))
    edge = darker(tint, 0.5)
    if "wine" in appearance.kind:
        wide, shoulder = rng.uniform(33, 37), rng.uniform(34, 42)
        half = [(46, 4), (46, 24), (45, 28), (wide + 2, shoulder), (wide, shoulder + 5), (wide, 93), (wide + 2, 96)]
        neck = box(45.4, 3, 54.6, 22, 0.8)
    else:
        wide, shoulder = rng.uniform(25, 33), rng.uniform(32, 40)
        half = [(45, 8), (45, 22), (43, 27), (wide + 3, shoulder - 4), (wide, shoulder), (wide, 92), (wide + 3, 95)]
        neck = box(43, 4, 57, 16, 1)
    canvas.part(mirror(half), tint, shade="cylinder", gloss="streak", outline=edge)
    canvas.part(neck, foil, shade="cylinder", outline=darker(foil))
    top, bottom = rng.uniform(50, 56), rng.uniform(80, 88)
    ground = rng.choice(((246, 240, 222), (238, 232, 236), (28, 28, 32), (224, 208, 170)))
    canvas.part(box(wide + 0.4, top, 99.6 - wide, bottom), ground, shade="cylinder", outline=darker(ground, 0.3))
    ink = skin.ink if sum(ground) > 380 else (226, 200, 120)
    span, center = 98 - 2 * wide, (top + bottom) / 2
    canvas.text(50, top + 5, appearance.brand, ink, 5, limit=span)
    mark = rng.choice(("ring", "peak", "line"))
    if mark == "ring":
        canvas.line(oval(50, center + 1, 4.4, 4.4), ink, 0.9)
    elif mark == "peak":
        canvas.part([(50, center - 4), (56, center + 5), (44, center + 5)], ink)
    else:
        canvas.line([(wide + 6, center + 1), (94 - wide, center + 1)], ink, 0.8)
    canvas.text(50, bottom - 8, appearance.kind.upper(), ink, 4, limit=span)
    canvas.text(
        50,
        bottom - 3.4,
        f"{rng.choice((12, 13, 14) if 'wine' in appearance.kind else (38, 40, 43))}% vol",
        ink,
        3.2,
        limit=span,
    )


def knife(canvas: Canvas, appearance: Appearance, skin: Surface, rng: Random) -> None:
    """Draw a knife that lies across the picture, handle at the lower left."""
    deep, joint, tip = rng.uniform(9, 16), rng.uniform(36, 42), rng.uniform(94, 98)
    angle = math.radians(rng.uniform(-55, -5))

    def turned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        cos, sin = math.cos(angle), math.sin(angle)
        return [(50 + (x - 50) * cos - (y - 50) * sin, 52 + (x - 50) * sin + (y - 50) * cos) for x, y in points]

    blade = [
        (joint, 44),
        (tip - 18, 44.5),
        (tip, 49 + deep * 0.15),
        (tip - 12, 44 + deep * 0.75),
        (tip - 30, 44 + deep),
        (joint + 2, 44 + deep),
    ]
    canvas.part(turned(blade), STEEL, shade="soft", gloss="spot", outline=darker(STEEL, 0.4))
    canvas.line(
        turned([(joint + 2, 42 + deep), (tip - 30, 42 + deep), (tip - 12, 42 + deep * 0.75)]), (228, 232, 236), 0.8
    )
    canvas.part(turned(box(joint - 3, 43, joint + 1, 56, 0.8)), darker(STEEL, 0.25), outline=darker(STEEL, 0.5))
    grip = [(joint - 3, 44), (joint - 20, 43), (4, 45), (3, 53), (10, 56), (joint - 16, 53.5), (joint - 3, 55)]
    canvas.part(turned(grip), skin.paint, shade="down", gloss=skin.gloss, outline=darker(skin.color, 0.5))
    for x in (14, 22, 30):
        canvas.part(turned(oval(x, 49, 1.1, 1.1)), (214, 196, 140), outline=(120, 104, 60))
    canvas.text(*turned([((joint + tip) / 2 - 6, 47.5)])[0], appearance.brand, (70, 74, 82), 3.8, limit=22)
