"""How a seller words a product: title and description with the seller's own habits, slips and slogans."""

from __future__ import annotations

from random import Random

from ecclip.sample.words import (
    COLOR_KOREAN,
    COLOR_SYNONYMS,
    DESCRIPTIONS,
    LEAVES,
    MATERIAL_KOREAN,
    PATTERN_KOREAN,
    PATTERN_WORDS,
    POLICY,
)
from ecclip.sample.world import Listing, Product, Seller, World


def title_of(world: World, listing: Listing) -> str:
    """Return the title of a listing in its present version."""
    product, seller = world.product(listing.product), world.sellers[listing.seller]
    rng = world.rng("title", listing.number, listing.title_version)
    korean = rng.random() < seller.korean
    words = _korean_words(product, rng) if korean else _english_words(product, seller, rng)
    title = " ".join(word for word in words if word)
    if "typo" in listing.faults:
        title = with_typo(title, rng)
    if rng.random() < 0.06:
        title = title.upper()
    if rng.random() < seller.promotes:
        title = f"{seller.prefix} {title}"
    if rng.random() < seller.promotes:
        title = f"{title} {seller.suffix}"
    return title.replace(" ", "  ", 1) if rng.random() < 0.03 else title


def _english_words(product: Product, seller: Seller, rng: Random) -> list[str]:
    appearance, leaf = product.appearance, LEAVES[product.appearance.leaf]
    color = "" if leaf.kinds else rng.choice(COLOR_SYNONYMS[appearance.color]).title()
    pattern = (
        ""
        if not appearance.pattern or (appearance.pattern == "plain" and rng.random() < 0.6)
        else rng.choice(PATTERN_WORDS[appearance.pattern])
    )
    material = appearance.material.title() if appearance.material and rng.random() < 0.7 else ""
    noun, model = rng.choice(leaf.nouns), appearance.model if rng.random() < 0.85 else ""
    kind = appearance.kind.title()
    if seller.order == "brand":
        return [appearance.brand, model, color, pattern.title(), material, kind, noun]
    if seller.order == "color":
        return [
            color,
            pattern.title(),
            material,
            kind,
            noun,
            "by" if rng.random() < 0.4 else "-",
            appearance.brand,
            model,
        ]
    return [kind, noun, appearance.brand, color.lower(), material.lower(), pattern, model]


def _korean_words(product: Product, rng: Random) -> list[str]:
    appearance, leaf = product.appearance, LEAVES[product.appearance.leaf]
    color = "" if leaf.kinds else COLOR_KOREAN[appearance.color]
    pattern = PATTERN_KOREAN.get(appearance.pattern, "") if appearance.pattern != "plain" or rng.random() < 0.4 else ""
    material = MATERIAL_KOREAN.get(appearance.material, appearance.material)
    noun = rng.choice(leaf.korean)
    english = rng.choice(leaf.nouns) if rng.random() < 0.7 else ""
    if rng.random() < 0.5 and not leaf.kinds:
        color = f"{color} {appearance.color}"
    return [appearance.brand, appearance.model, color, pattern, material, appearance.kind.title(), noun, english]


def with_typo(title: str, rng: Random) -> str:
    """Return the title with one slip in its longest words: letters swapped, one lost, or one doubled."""
    words = title.split(" ")
    place = max(range(len(words)), key=lambda index: (len(words[index]), index))
    word = words[place]
    at = rng.randrange(1, max(2, len(word) - 1))
    slips = (
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :] if len(word) > 2 else word + word[-1:],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] * 2 + word[at + 1 :],
    )
    words[place] = next((slip for slip in rng.sample(slips, 3) if slip != word), word + word[-1:])
    return " ".join(words)


def description_of(world: World, listing: Listing) -> str | None:
    """Return the description: none for a quarter of the listings, HTML for some sellers."""
    product, seller = world.product(listing.product), world.sellers[listing.seller]
    rng = world.rng("description", listing.number)
    if rng.random() < 0.25:
        return None
    appearance, leaf = product.appearance, LEAVES[product.appearance.leaf]
    values = {
        "color": appearance.color, "noun": rng.choice(leaf.nouns).lower(), "brand": appearance.brand,
        "model": appearance.model, "material": appearance.material or appearance.kind, "korean": leaf.korean[0],
    }  # fmt: skip
    lines = [line.format(**values) for line in rng.sample(DESCRIPTIONS, 2)]
    if not seller.html:
        return " ".join(lines)
    facts = "".join(f"<li>{name}: {value}</li>" for name, value in attributes_of(product).items())
    return f"<p>{lines[0]}</p><ul>{facts}</ul><br/>{lines[1]}&nbsp;<b>{POLICY}</b>"


def attributes_of(product: Product) -> dict[str, str]:
    """Return the true attributes of a product; a name that does not apply to its category is absent."""
    appearance, leaf = product.appearance, LEAVES[product.appearance.leaf]
    found = {"color": appearance.color, "pattern": appearance.pattern, "material": appearance.material}
    if leaf.kind_name:
        found[leaf.kind_name] = appearance.kind
    return {name: value for name, value in sorted(found.items()) if value}
