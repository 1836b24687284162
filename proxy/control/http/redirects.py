"""Redirects: where a rule leads a client (RFC 9110, section 15.4)."""

from __future__ import annotations

from http import HTTPStatus

from proxy.config.model.http import Redirect, RedirectKind
from proxy.control.http.connection import Response, whole
from proxy.control.http.request import Request

CACHED = (301, 308)  # for good; any other answer is not to be kept


def redirected(redirect: Redirect, request: Request) -> Response:
    """The answer of a redirect rule."""
    headers = [("Location", address_of(redirect, request))]
    if redirect.cookie is not None:
        headers.append(("Set-Cookie", redirect.cookie))
    if redirect.status not in CACHED:
        headers.append(("Cache-Control", "no-cache"))
    return whole(redirect.status, HTTPStatus(redirect.status).phrase, tuple(headers), b"")


def address_of(redirect: Redirect, request: Request) -> str:
    """The new address; `append-slash` stands behind the query, too, as in HAProxy."""
    if redirect.kind is RedirectKind.LOCATION:
        return redirect.value
    target = request.path
    if request.query and not redirect.drop_query:
        target = f"{target}?{request.query}"
    if redirect.append_slash and not target.endswith("/"):
        target += "/"
    if redirect.kind is RedirectKind.SCHEME:
        return f"{redirect.value}://{request.headers.get('host', '')}{target}"
    return target if redirect.value == "/" else f"{redirect.value}{target}"
