"""Redirects: where a rule leads a client (RFC 9110, section 15.4)."""

from __future__ import annotations

from http import HTTPStatus

from proxy.config.model.http import Redirect, RedirectKind
from proxy.control.http.connection import Response, whole
from proxy.control.http.request import Request

CACHED = (301, 308)  # for good; any other answer is not to be kept


def redirected(redirect: Redirect, value: str, request: Request) -> Response:
    """The answer of a redirect rule; `value` is what its address says."""
    headers = [("Location", address_of(redirect, value, request))]
    if redirect.cookie is not None:
        headers.append(("Set-Cookie", redirect.cookie))
    if redirect.status not in CACHED:
        headers.append(("Cache-Control", "no-cache"))
    return whole(redirect.status, HTTPStatus(redirect.status).phrase, tuple(headers), b"")


def address_of(redirect: Redirect, value: str, request: Request) -> str:
    """The new address; `append-slash` stands behind the query, too, as in HAProxy."""
    if redirect.kind is RedirectKind.LOCATION:
        return value
    target = request.path
    if request.query and not redirect.drop_query:
        target = f"{target}?{request.query}"
    if redirect.append_slash and not target.endswith("/"):
        target += "/"
    if redirect.kind is RedirectKind.SCHEME:
        host = request.headers.get("host", "").partition(",")[0].rstrip()
        return f"{value}://{host}{target}"
    return target if redirect.value == "/" else f"{value}{target}"  # HAProxy looks at the file
