"""Fetches of the manual that rules cannot have here, and why (manual sections 7.3.2 to 7.3.7)."""

from __future__ import annotations

_HTTP = "HTTP is forwarded as it is in mode tcp"
_TIMES = "HAProxy measures its own tasks by it; 'show info' and /metrics have those of the workers"
_BUILT = "HAProxy is rarely built with it"
_BY_NAME = {
    **dict.fromkeys(("cpu_calls", "cpu_ns_avg", "cpu_ns_tot"), _TIMES),
    **dict.fromkeys(("lat_ns_avg", "lat_ns_tot"), _TIMES),
    **dict.fromkeys(("distcc_body", "distcc_param"), "distcc is forwarded as it is"),
    **dict.fromkeys(("base32", "base32+src", "url32", "url32+src", "baseq"), _HTTP),
    **dict.fromkeys(("base", "pathq", "status"), _HTTP),
    **dict.fromkeys(("url_ip", "url_port", "urlp_val", "http_first_req", "cookie"), _HTTP),
    **dict.fromkeys(("resp_ver", "req_ver", "hdr_ip", "hdr_val"), _HTTP),
}
_BY_BEGINNING: dict[str, str | None] = {
    "req.ssl_": None,  # of a client's hello: the manual has no other
    "51d.": _BUILT,
    "internal.": "it is for those that develop HAProxy",
    **dict.fromkeys(("capture.", "http_auth_", "req.", "res.", "cook", "scook", "shdr"), _HTTP),
}


def refusal(name: str) -> str | None:
    """Why a rule cannot have this fetch; None for a word that the manual has not."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    return next((why for head, why in _BY_BEGINNING.items() if name.startswith(head)), None)
