"""Columns that cleaning, grouping and publishing add to a listing of the dump; a dump's own are in docs/dump.md."""

TITLE_ORIGINAL = "title_original"  # as the shop wrote it
TEXT_SHA256 = "text_sha256"  # of title, description and brand before cleaning
IMAGE_SHA256 = "image_sha256"  # of the photo's bytes before cleaning
IMAGE_PHASH = "image_phash"  # perceptual hash of the picture, 16 hex digits
IMAGE_ERROR = "image_error"  # reason why the photo of a listing was rejected
GROUP_ID = "group_id"  # listings that are the same product share it
SPLIT = "split"  # train, validation or test: a function of the group alone
MISMATCH = "mismatch"  # photo and title do not belong together: not a training pair
CATEGORY_KEY = "category_key"  # the category path as one text
