"""The web application: one page and one question, for those who have the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from jobs.serve.page import API

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobs.serve.access import Access
    from jobs.serve.page import ServedPage
    from jobs.serve.structures import StructureReader

NO_TOKEN = "Open the address that crysift serve printed: it has a token in it."  # noqa: S105 -- a message
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_app(page: ServedPage, structures: StructureReader, access: Access) -> FastAPI:
    """Return the application; it answers GET alone and has no pages about itself."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if not access.knows_host(request):
            response: Response = PlainTextResponse("This server has another name.", 421)
        elif not (access.is_granted(request) or _brings_token(request)):
            response = PlainTextResponse(NO_TOKEN, 401)
        else:
            response = await answer(request)
        response.headers.update({**HEADERS, "Content-Security-Policy": page.policy})
        return response

    @app.get("/")
    def show_page(request: Request) -> Response:
        if not _brings_token(request):
            return Response(page.html, media_type="text/html; charset=utf-8")
        if not access.is_token(request.query_params["token"]):
            return PlainTextResponse(NO_TOKEN, 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
        return response

    @app.get(API + "/structure/{row}")
    def show_structure(row: int) -> Response:
        document = structures.document(row)
        if document is None:
            return JSONResponse({"error": f"The store has no structure for row {row}."}, 404)
        return Response(document, media_type="application/json")

    return app


def _brings_token(request: Request) -> bool:
    """Whether the request is for the page and has a token, right or wrong, in its address."""
    return request.url.path == "/" and "token" in request.query_params
