"""The page: one listing a screen, or a table of them; what is chosen is recorded at the desk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from ecclip.core import ContractError
from ecclip.review.access import Access
from ecclip.review.desk import Desk
from ecclip.review.drawing import Filter
from ecclip.review.pages import SHOWN_LABEL, Pages, address

_STATIC = Path(__file__).with_name("static")
_FILTER = tuple(one.name for one in fields(Filter))
_KEPT_PHOTOS = 400  # of the snapshot, for pages that are about to be shown: some megabytes; by judgment


def review_app(desk: Desk, access: Access) -> FastAPI:
    """Return the application; every request passes ``access`` first."""
    app = FastAPI(title="ecclip review", docs_url=None, redoc_url=None, openapi_url=None)
    access.guard(app)
    app.mount("/static", StaticFiles(directory=_STATIC))
    pages, photos = Pages(desk, access.form_token), _Photos(desk)

    @app.exception_handler(ContractError)
    def _say_why(_: Request, error: ContractError) -> Response:
        return HTMLResponse(pages.refused(str(error)), 400)

    @app.get("/", response_class=HTMLResponse)
    def show(
        wanted: Annotated[Filter, Depends(_filter)],
        listing: Annotated[str, Query(max_length=1000)] = "",
        view: Annotated[str, Query(pattern="^(one|table)$")] = "one",
        page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    ) -> str:
        if view == "table":
            return pages.table(wanted, page, photos.prepare)
        return pages.listing(wanted, listing)

    @app.post("/correct", dependencies=[Depends(access.check_form)])
    def correct(
        wanted: Annotated[Filter, Depends(_form_filter)],
        listing: Annotated[str, Form(max_length=1000)],
        label: Annotated[str, Form(max_length=10**4)],
        view: Annotated[str, Form(pattern="^(one|table)$")] = "one",
        page: Annotated[int, Form(ge=1, le=10**6)] = 1,
    ) -> RedirectResponse:
        after = desk.beside(wanted, desk.night.place(listing))[1]
        desk.correct(listing, wanted.head, label)
        where: dict[str, Any] = {"view": "table", "page": page}
        if view == "one":
            where = {} if after is None else {"listing": str(desk.night.rows.listing_ids[after])}
        return RedirectResponse(address(wanted, **where), 303)

    @app.get("/photo/{digest}")
    def photo(digest: str) -> Response:
        data = photos.get(digest)
        if data is None:
            raise HTTPException(404, "there is no such photo")
        return Response(data, media_type="image/jpeg")

    return app


def _filter(request: Request) -> Filter:
    return _filter_of(request.query_params)


async def _form_filter(request: Request) -> Filter:
    given = await request.form()
    return _filter_of({**given, "label": given.get(SHOWN_LABEL)})  # a form's own label is what it sets


def _filter_of(given: Mapping[str, Any]) -> Filter:
    """Return the filter that an address or a form names; what it leaves out is the default."""
    named = {name: str(given[name]) for name in _FILTER if given.get(name)}
    return Filter(**named)  # type: ignore[arg-type]


class _Photos:
    """Photos of the snapshot by their digests; those of a page are read together, before the browser asks for each."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._kept = desk, OrderedDict[str, bytes]()

    def prepare(self, digests: Iterable[str]) -> None:
        """Read photos that are about to be asked for."""
        for digest, data in self._desk.night.snapshot.photos(set(digests) - {*self._kept}):
            self._kept[digest] = data
            while len(self._kept) > _KEPT_PHOTOS:
                self._kept.popitem(last=False)

    def get(self, digest: str) -> bytes | None:
        """Return a photo, None where the snapshot has none of this digest."""
        if digest not in self._kept:
            self.prepare([digest])
        return self._kept.get(digest)
