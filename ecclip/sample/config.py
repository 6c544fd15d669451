"""What the sample marketplace looks like: sizes, nightly change and the share of every planted fault."""

from __future__ import annotations

from pydantic import Field, model_validator

from ecclip.core import ConfigError, StageConfig, parse_night


class FaultShares(StageConfig):
    """Share of listings (0-1) that carry each planted fault; what ends in quarantine stays below 5 % in total.

    By judgment: often enough that each occurs in a thousand listings.
    """

    duplicate_id: float = Field(0.004, ge=0, le=1, description="a second line with the same listing_id")
    missing_id: float = Field(0.002, ge=0, le=1, description="listing_id absent, null or empty")
    missing_title: float = Field(0.003, ge=0, le=1, description="title absent, null or blank")
    malformed_line: float = Field(0.001, ge=0, le=1, description="a line that is cut in the middle of its JSON")
    broken_photo: float = Field(0.003, ge=0, le=1, description="a photo file that holds something else")
    truncated_photo: float = Field(0.003, ge=0, le=1, description="a JPEG that ends early")
    empty_photo: float = Field(0.002, ge=0, le=1, description="a photo file of zero bytes")
    missing_photo: float = Field(0.003, ge=0, le=1, description="image_uri names a file that is not there")
    placeholder_photo: float = Field(0.015, ge=0, le=1, description="the 'no image' picture that sellers share")
    mismatched_photo: float = Field(0.01, ge=0, le=1, description="a photo of a product of another category")
    wrong_suffix: float = Field(0.004, ge=0, le=1, description="a good JPEG whose name says png")
    cmyk_photo: float = Field(0.001, ge=0, le=1, description="a good JPEG in CMYK")
    rotated_photo: float = Field(0.006, ge=0, le=1, description="a JPEG whose EXIF tag says how to turn it")
    no_photo: float = Field(0.01, ge=0, le=1, description="a listing without image_uri (allowed by the contract)")
    typo: float = Field(0.05, ge=0, le=1, description="a misspelt word in the title")

    @model_validator(mode="after")
    def _share_of_all(self) -> FaultShares:
        total = sum(self.model_dump().values())
        if total > 1:
            raise ConfigError(
                "the shares of planted faults sum to more than all listings",
                value=total,
                limit=1,
                next_step="lower the shares until they sum to at most 1",
            )
        return self


class SampleConfig(StageConfig):
    """Sizes, dates and messiness of the sample dump, by judgment; equal configurations give equal bytes."""

    seed: int = Field(7, description="seed of everything that is drawn")
    first_night: str = Field("2026-11-01", description="ISO date of the first dump")
    nights: int = Field(3, ge=1, le=366, description="how many consecutive nights")
    listings: int = Field(2000, ge=20, description="listings of the first night")
    sellers: int = Field(24, ge=4, le=999, description="sellers of the marketplace")
    image_size: int = Field(320, ge=96, le=1024, description="shorter side of a photo in pixels")
    new_share: float = Field(0.05, ge=0, le=1, description="new listings per night, as a share of yesterday's")
    changed_share: float = Field(0.03, ge=0, le=1, description="listings whose price, title or photo changes per night")
    deleted_share: float = Field(
        0.02, ge=0, le=1, description="listings that disappear per night, half of them as deleted rows"
    )
    faults: FaultShares = Field(
        default_factory=lambda: FaultShares.model_validate({}), description="share of every planted fault"
    )
    processes: int = Field(2, ge=1, description="processes that draw; the bytes do not depend on it")

    @model_validator(mode="after")
    def _is_a_night(self) -> SampleConfig:
        parse_night(self.first_night)
        return self
