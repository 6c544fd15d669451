"""One photo of one listing: the product in a seller's scene, then what a seller does to a file."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageFilter

from ecclip.sample import scene
from ecclip.sample.appearance import Appearance
from ecclip.sample.canvas import SIZE
from ecclip.sample.shape import drawn
from ecclip.sample.world import Listing, Seller, World

# width and height, as phones and web shops crop; by judgment
_ASPECTS = ((1.0, 1.0), (1.0, 1.0), (1.0, 1.25), (1.2, 1.0))
_ORIENTATION = 0x0112  # EXIF tag
_TURN_RIGHT = 6  # EXIF: show the stored picture turned by 90 degrees to the right


@dataclass(frozen=True)
class Photo:
    """All that decides the bytes of a photo; equal photos are drawn once."""

    key: str
    appearance: Appearance
    scene: str
    scene_key: str
    framing: str
    treatment: str
    seller: Seller
    fault: str
    side: int


def photo_of(world: World, listing: Listing) -> Photo | None:
    """Return the photo of a listing in its present version, or None when it names none or a file that is not there."""
    fault = next((name for name in listing.faults if name.endswith("_photo") or name == "wrong_suffix"), "")
    if fault in ("no_photo", "missing_photo"):
        return None
    product, seller = world.product(listing.product), world.sellers[listing.seller]
    rng = world.rng("photo", listing.number, listing.photo_version)
    appearance = product.appearance
    if fault == "mismatched_photo":
        others = (world.product(listing.product + step).appearance for step in range(1, 400))
        appearance = next((other for other in others if other.leaf != appearance.leaf), appearance)
    stock = f"stock/{appearance.key}"
    own = f"own/{listing.number}/{listing.photo_version}"
    as_is = not listing.own_photo and rng.random() < 0.3 and not fault
    place = seller.scene if listing.own_photo else "studio" if sum(appearance.brand.encode()) % 3 else "pastel"
    return Photo(
        key=stock
        if as_is
        else f"{own}/{fault}"
        if fault != "placeholder_photo"
        else f"placeholder/{listing.number % 2}",
        appearance=appearance,
        scene=place,
        scene_key=seller.id if listing.own_photo else appearance.brand,
        framing=own if listing.own_photo else stock,
        treatment="" if as_is else own,
        seller=seller,
        fault=fault,
        side=world.cfg.image_size,
    )


def encoded(photo: Photo) -> tuple[bytes, str]:
    """Return the bytes of a photo's file and the suffix of its name."""
    if photo.fault == "placeholder_photo":
        return _jpeg(scene.placeholder(int(photo.key[-1]), photo.side), 80), "jpg"
    image, quality = _treated(photo, _framed(photo))
    if photo.fault:
        return _spoiled(photo, image, quality)
    if not photo.treatment:
        return _jpeg(image, 88), "jpg"
    if photo.seller.suffix_of_photos == "jpg":
        return _jpeg(image, quality), "jpg"
    buffer = io.BytesIO()
    if photo.seller.suffix_of_photos == "png":
        image.save(buffer, "PNG", compress_level=2)
    else:
        image.save(buffer, "WEBP", quality=quality, method=0)
    return buffer.getvalue(), photo.seller.suffix_of_photos


def _jpeg(image: Image.Image, quality: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def _framed(photo: Photo) -> Image.Image:
    """Return the product in its scene: placed, lit, with its shadow."""
    rng = Random(f"{photo.appearance.key}/{photo.framing}")
    wide, high = _ASPECTS[sum(photo.scene_key.encode()) % len(_ASPECTS)]
    size = (round(photo.side * wide), round(photo.side * high))
    scale = SIZE / (photo.side * rng.uniform(0.8, 0.98))
    turn = math.radians(rng.uniform(-7, 7) if photo.scene in ("table", "stone") else rng.uniform(-2, 2))
    center = (size[0] * rng.uniform(0.46, 0.54), size[1] * rng.uniform(0.47, 0.53))
    product, corner = _placed(drawn(photo.appearance), scale, turn, center, size)
    alpha = product.getchannel("A")
    image = scene.background(photo.scene, photo.scene_key, size).copy()
    _cast_shadow(image, alpha, corner, rng.choice((-9, 9, 14)))
    image.paste(product, corner, alpha)
    return ImageChops.multiply(image, scene.light(photo.scene_key, size))


def _placed(
    product: Image.Image, scale: float, turn: float, center: tuple[float, float], size: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int]]:
    """Return the product scaled and turned as RGBA, and its upper left corner; only its own rectangle is computed."""
    cos, sin = math.cos(turn), math.sin(turn)
    left, top, right, bottom = product.getbbox() or (0, 0, SIZE, SIZE)
    offsets = [((x - SIZE / 2) / scale, (y - SIZE / 2) / scale) for x in (left, right) for y in (top, bottom)]
    xs = [center[0] + x * cos - y * sin for x, y in offsets]
    ys = [center[1] + x * sin + y * cos for x, y in offsets]
    low = (max(0, math.floor(min(xs)) - 1), max(0, math.floor(min(ys)) - 1))
    high = (min(size[0], math.ceil(max(xs)) + 1), min(size[1], math.ceil(max(ys)) + 1))
    x, y = low[0] - center[0], low[1] - center[1]
    affine = (
        cos * scale, sin * scale, SIZE / 2 + scale * (cos * x + sin * y),
        -sin * scale, cos * scale, SIZE / 2 + scale * (cos * y - sin * x),
    )  # fmt: skip
    area = (high[0] - low[0], high[1] - low[1])
    return product.transform(area, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR).convert("RGBA"), low


def _cast_shadow(image: Image.Image, alpha: Image.Image, corner: tuple[int, int], slide: int) -> None:
    """Darken the background beside and below the product, softly: blurred at a fifth of the size."""
    margin = 3
    small = alpha.resize((max(1, alpha.width // 5), max(1, alpha.height // 5)), Image.Resampling.BOX)
    room = Image.new("L", (small.width + 2 * margin, small.height + 2 * margin))
    room.paste(small, (margin, margin))
    soft = room.filter(ImageFilter.BoxBlur(2)).point(lambda level: level * 0.42)
    soft = soft.resize((soft.width * 5, soft.height * 5), Image.Resampling.BILINEAR)
    image.paste((16, 14, 18), (corner[0] - 5 * margin + slide, corner[1] - 5 * margin + 10), soft)


def _treated(photo: Photo, image: Image.Image) -> tuple[Image.Image, int]:
    """Return the photo after the seller's hands: re-cropped, brighter or darker, marked; and its JPEG quality."""
    if not photo.treatment:
        return image, 88
    rng = Random(f"{photo.appearance.key}/{photo.treatment}")
    wide, high = image.size
    if rng.random() < 0.6:
        keep = rng.uniform(0.88, 0.98)
        left, top = rng.uniform(0, 1 - keep) * wide, rng.uniform(0, 1 - keep) * high
        area = (left, top, left + keep * wide, top + keep * high)
        image = image.resize(image.size, Image.Resampling.BILINEAR, box=area)
    if rng.random() < 0.5:
        factor = rng.uniform(0.88, 1.1)
        image = image.point([min(255, round(level * factor)) for level in range(256)] * 3)
    if photo.seller.watermark and rng.random() < 0.8:
        image.paste((255, 255, 255), (0, 0), scene.watermark(photo.seller.name, image.size))
    if photo.seller.badge and rng.random() < 0.6:
        mark = scene.badge(("SALE", "-30%", "BEST")[photo.seller.number % 3], image.size)
        image.paste(mark, (6 if photo.seller.number % 2 else wide - mark.width - 6, 6), mark)
    return image, min(95, photo.seller.quality + rng.randrange(-4, 5))


def _spoiled(photo: Photo, image: Image.Image, quality: int) -> tuple[bytes, str]:
    """Return the file of a listing with a planted fault."""
    rng = Random(f"{photo.key}/{photo.fault}")
    if photo.fault == "empty_photo":
        return b"", "jpg"
    if photo.fault == "broken_photo":
        page = b"<html><body><h1>503 Service Unavailable</h1></body></html>\n"
        return (page + photo.key.encode() if rng.random() < 0.5 else rng.randbytes(3000)), "jpg"
    if photo.fault == "truncated_photo":
        data = _jpeg(image, quality)
        return data[: int(len(data) * rng.uniform(0.2, 0.7))], "jpg"
    if photo.fault == "cmyk_photo":
        return _jpeg(image.convert("CMYK"), quality), "jpg"
    if photo.fault == "rotated_photo":
        exif = Image.Exif()
        exif[_ORIENTATION] = _TURN_RIGHT
        return _jpeg(image.transpose(Image.Transpose.ROTATE_90), quality, exif=exif), "jpg"
    return _jpeg(image, quality), "png" if photo.fault == "wrong_suffix" else "jpg"
