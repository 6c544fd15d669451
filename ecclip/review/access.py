"""Who may use the page: one user of this machine, who has the token, from pages of the page's own.

The server listens on loopback, where every user and every web page in a browser of this machine could reach it. So a
request needs the token (in the address once, as Jupyter does it, then in a cookie), a ``Host`` that is loopback
(against DNS rebinding) and, where it changes something, a form that this page made (against cross-site requests).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

_HOSTS = ["127.0.0.1", "localhost"]
_LONGEST_FORM = 1 << 16  # bytes of a form: a label of 4,000 characters and the rest, escaped; by judgment
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address may hold the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_Next = Callable[[Request], Awaitable[Response]]


class Access:
    """The token of one server, and that of its forms."""

    def __init__(self, port: int) -> None:
        self.token, self.form_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._cookie = f"ecclip-review-{port}"  # cookies do not tell ports apart

    def guard(self, app: FastAPI) -> None:
        """Let through what may be, before any route is looked at."""
        app.middleware("http")(self._checked)
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False)

    def check_form(self, request: Request, form_token: Annotated[str, Form(max_length=100)] = "") -> None:
        """Refuse a form that this page has not made: a dependency of the routes that change something."""
        # a page that sends no referrer has the origin "null" (Fetch standard, append a request Origin header)
        own = request.headers.get("origin") in (None, "null", str(request.base_url).rstrip("/"))
        if not own or not secrets.compare_digest(form_token.encode(), self.form_token.encode()):
            raise HTTPException(403, "this form is of another page, or of an earlier start: load the page again")

    async def _checked(self, request: Request, go_on: _Next) -> Response:
        response = self._refused(request) or await go_on(request)
        response.headers.update(_HEADERS)
        return response

    def _refused(self, request: Request) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and self._is_token(given):
            others = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            address = request.url.path + (f"?{urlencode(others)}" if others else "")
            response = RedirectResponse(address, 303)
            response.set_cookie(self._cookie, self.token, httponly=True, samesite="strict")
            return response
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return Response("open the address that `ecclip review` has printed\n", 403, media_type="text/plain")
        if request.method == "POST" and not 0 < int(request.headers.get("content-length") or 0) <= _LONGEST_FORM:
            return Response("a form says its length, and has a bounded one\n", 413, media_type="text/plain")
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())
