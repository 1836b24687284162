"""Rules for requests, conditions and users: what is wrong with them is said where they stand."""

from __future__ import annotations

import pytest

from proxy.config.text.messages import Severity
from tests.support.config.loading import LISTEN, load_text, only_alert, said

STATS = "listen stats\n    mode http\n    bind 127.0.0.1:1\n    timeout client 1s\n"


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (
            "deny if { path -f /etc/paths }",
            "failed to open pattern file </etc/paths> (No such file",
        ),
        ("deny if { src -M -f /etc/passwd }", "is not a valid IPv4 or IPv6 address"),
        ("deny if { path,map(/etc/hosts,a,b) x }", "'map': write map(<file>[,<default value>])"),
        ("deny if { path,map_str_int(/dev/null,x) 1 }", "default value': 'x' is not a number"),
        ("deny if { path,map_str_ip(/dev/null,x) 1 }", "cannot parse default ip <x>"),
        ("deny if { always_true,map_ip(/dev/null) x }", "converter 'map_ip' cannot be applied"),
        ("deny if { path -m found -f /etc/hosts }", "'found' takes no pattern (got '-f')"),
        ("deny if { http_auth_group(l) -f /etc/hosts }", "is compared with names of groups only"),
        ("deny if { path,nope /x }", "unknown converter 'nope', or not supported yet in ACL"),
        ("deny if { method,add(1) 1 }", "converter 'add' cannot be applied in ACL expression 'me"),
        ("deny if { path,b64dec x }", "matching method must be specified first (using '-m') when"),
        ("deny if { src,ipmask(33) ::1 }", "'ipmask': failed to parse '33' as type 'IPv4 mask'"),
        ("deny if { src,ipmask(24,x) ::1 }", "'ipmask': failed to parse 'x' as type 'IPv6 mask'"),
        ("deny if { src,ipmask ::1 }", "'ipmask': write ipmask(<mask4>[,<mask6>])"),
        ("deny if { path,djb2(1,2) 1 }", "'djb2': write djb2([<avalanche>])"),
        ("deny if { path,length,utime 1 }", "'utime': write utime(<format>[,<offset in sec"),
        ("deny if { path,lower,hex(1) 1 }", "'hex' takes no argument ('1') in ACL expression"),
        ("deny if { path -m reg ( }", "regex '(' is invalid (error=missing closing parenthesis"),
        ("deny if { path -m foo x }", "unknown matching method 'foo'"),
        ("deny if { path a '' }", "an empty pattern is not possible"),
        ("deny if { path -z x }", "'-z' is not a valid ACL option"),
        (
            "deny if { path_bag /x }",
            "fetch method 'path_bag' is unknown, or not supported yet; did",
        ),
        ("deny if { path(x) /x }", "'path(x)': write path"),
        ("deny if { hdr /x }", "'hdr': write hdr(<name>[,<occurrence>])"),
        ("deny if { hdr(a,b) /x }", "'b' is not the number of an occurrence"),
        ("deny if { hdr(a /x }", "expected ')' behind the arguments of 'hdr'"),
        ("deny if { src 1.2.3.4.5 }", "'1.2.3.4.5' is not a valid IPv4 or IPv6 address"),
        ("deny if { src host }", "'host' is not a valid IPv4 or IPv6 address"),
        ("deny if { always_true -m ip ::1 }", "method 'ip' cannot be used with fetch keyword 'al"),
        ("deny if { src_port foo }", "'foo' is not a number"),
        ("deny if { src_port : }", "':' is not a valid number range"),
        ("deny if { src_port 2:1 }", "'2:1' is not a valid number range"),
        ("deny if { src_port lt 1:2 }", "a range stands behind 'eq' only"),
        ("deny if { nbsrv(nope) lt 1 }", "unable to find backend 'nope'"),
        ("deny if { srv_is_up(be/nope) }", "unable to find server 'be/nope'"),
        ("deny if { srv_is_up(be) }", "unable to find server 'be' in proxy 'stats'"),
        ("deny if { fe_conn(be) gt 1 }", "unable to find frontend 'be'"),
        ("deny if { http_auth(nope) }", "unable to find userlist 'nope'"),
        ("deny if { http_auth_group(l) h }", "userlist 'l' has no group 'h'"),
        ("deny if { path /x", "missing closing '}' in condition"),
        ("deny if { path /x } or", "the condition ends where another word is expected"),
        ("deny if or { path /x }", "'or' stands between two conditions"),
        ("deny if !", "the condition ends where another word is expected"),
        ("deny if", "the condition ends where another word is expected"),
        ("deny if { }", "missing fetch method"),
        ("deny if LOCAL", "no such ACL : 'LOCAL'; did you mean 'LOCALHOST' maybe ?"),
        ("deny if later", "no such ACL : 'later'"),
        ("deny { path /x }", "'http-request deny' does not know '{' here"),
        ("allow foo", "expects either 'if' or 'unless' followed by a condition but found 'foo'"),
        ("auth realm", "missing realm value"),
        ("deny deny_status 999", "unexpected status code '999'"),
        ("return status 199", "unexpected status code '199'"),
        ("return status", "ends where a value is expected"),
        ("return string a", "a content type must be given with 'string'"),
        ("return content-type a", "'content-type a' without 'string' or 'file'"),
        ("return content-type a string b file c", "unexpected 'file', 'string' is there already"),
        ("return content-type a lf-string %[sc]", "'sc' is unknown, not available in an answer"),
        ("return content-type a lf-string %[str(", "expected ')' behind the arguments of 'str'"),
        ("return content-type a lf-string %Ta", "'%Ta' is not supported in an answer: sessions"),
        ("return content-type a lf-string %zz", "no such format variable 'zz'"),
        ("return content-type a lf-string %[path_beg]", "fetch method 'path_beg' is unknown, not"),
        ("return content-type a lf-string %[method,even]", "converter 'even' cannot be applied"),
        ("return content-type a lf-string %[be_conn]", "'be_conn' counts no sessions of a section"),
        ("deny if { be_conn(stats) gt 1 }", "'be_conn' counts no sessions of a section"),
        ("return content-type a lf-string %[nbsrv(no)]", "unable to find backend 'no' that an"),
        ("return content-type a lf-string %[fe_conn(no)]", "unable to find frontend 'no' that"),
        ('return content-type a lf-string ""', "ends where a value is expected"),
        ("return lf-string %[path]", "a content type must be given with 'lf-string'"),
        ("return status 204 content-type a lf-string %[path]", "no body expected for 204"),
        ('return hdr X ""', "ends where a value is expected"),
        ("return hdr X %[path", "missing ']' after 'path'."),
        ("return content-type a file /nonexistent/x", "cannot read '/nonexistent/x'"),
        ("redirect", "redirection type expected ('prefix', 'location', or 'scheme')"),
        ("redirect foo", "expects 'code', 'location', 'prefix', 'scheme'"),
        ("redirect scheme", "missing argument for 'scheme'"),
        ("redirect location /x code 200", "unsupported HTTP code '200'"),
        ("redirect location /%[pth]", "redirect rule : fetch method 'pth' is unknown, not"),
        ("redirect location /%", "redirect rule : truncated line after '%'."),
        ("deny if { http_auth_group(l) -m beg g }", "is compared with names of groups only"),
        ("deny if { http_auth_group(l),lower g }", "is compared with names of groups only"),
        ("deny if { http_auth_group(l) -- }", "needs the name of a group"),
        ("deny if { hdr(a,-11) b }", "'-11' is not the number of an occurrence"),
        ("return status 204 content-type a string b", "no body expected for 204 responses"),
        ("return status 418 default-errorfiles", "there is no page of status 418"),
        ("return default-errorfiles hdr a b", "'hdr' and 'content-type' change no"),
        ("deny deny_status 418", "unexpected status code '418'"),
        ("return errorfile /dev/null", "is no HTTP response"),
        ("return hdr a: b", "'hdr a:' cannot be set"),
        ("return hdr content-length 3", "'hdr content-length' cannot be set"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_at_its_line(rule: str, complaint: str) -> None:
    users = "userlist l\n    user a insecure-password b\n    group g users a\n"
    rest = "    acl later path /x\nbackend be\n    server s 127.0.0.1:1\n"
    place, text = only_alert(f"{users}{STATS}    stats enable\n    http-request {rule}\n{rest}")
    assert (place, complaint in text) == (9, True), text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("acl a", "missing fetch method"),
        ("acl", "'acl' expects a name and a condition"),
        ("acl or path /x", "acl name 'or' will never match"),
        ("acl a!b path /x", "character '!' is not permitted in acl name 'a!b'"),
        ("acl a nope x", "error detected while parsing ACL 'a' : fetch method 'nope' is unknown"),
        ("monitor", "'monitor' only supports 'fail'."),
        ("monitor fail", "requires either 'if' or 'unless' followed by a condition."),
        ("monitor fail if nope", "'monitor fail' condition : no such ACL : 'nope'"),
        ("stats admin", "'stats admin' requires either 'if' or 'unless'"),
        ("stats admin if nope", "'stats admin' condition : no such ACL : 'nope'"),
        ("stats http-request", "expects 'allow', 'deny' or 'auth'"),
        ("stats auth a:b\n    stats http-request allow", "can't be used at the same time"),
        ("stats realm x\n    stats http-request allow", "can't be used at the same time"),
        ("errorfile 599 /x", "status code '599' not handled"),
        ("errorfile 503 /nonexistent/x", "'errorfile' : cannot read '/nonexistent/x'"),
    ],
)
def test_what_is_wrong_with_a_line_about_requests_is_said(line: str, complaint: str) -> None:
    place, text = only_alert(f"{STATS}    stats enable\n    {line}\n")
    assert (place, complaint in text) == (6 + line.count("\n"), True), text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("http-request deny", "'http-request' not allowed in anonymous 'defaults' section."),
        ("redirect location /x", "'redirect' not allowed in 'defaults' section."),
        ("acl a path /x", "'acl' not allowed in anonymous 'defaults' section."),
        ("monitor fail if TRUE", "'monitor fail' not allowed in 'defaults' section."),
        ("stats admin if TRUE", "'stats admin' not allowed in 'defaults' section."),
        ("stats http-request deny", "'stats http-request' not allowed in 'defaults' section."),
    ],
)
def test_what_does_not_stand_in_defaults(line: str, complaint: str) -> None:
    assert only_alert(f"defaults\n    {line}\n{LISTEN}") == (2, complaint)


def test_a_rule_behind_a_redirect_is_warned_of() -> None:
    lines = ("http-request deny", "redirect location /x", "http-request allow")
    text = STATS + "    stats enable\n" + "".join(f"    {line} if TRUE\n" for line in lines)
    [(place, warning)] = said(load_text(text), Severity.WARNING)
    assert (place, "placed after a 'redirect' rule" in warning) == (8, True)


def test_an_acl_without_patterns_never_matches_and_is_warned_of() -> None:
    for line, warned in (("path", 1), ("path --", 0), ("path -m found", 0), ("always_true", 0)):
        outcome = load_text(
            f"{STATS}    stats enable\n    acl a {line}\n    http-request deny if a\n"
        )
        assert outcome.settings is not None
        assert len(said(outcome, Severity.WARNING)) == warned


def test_a_pattern_that_nothing_is_compared_with_is_warned_of() -> None:
    for line in ("always_true 0", "path -m found /x"):
        (place, text), *_ = said(
            load_text(f"{STATS}    stats enable\n    acl a {line}\n"), Severity.WARNING
        )
        assert (place, f"'{line.split()[-1]}' is not looked at" in text) == (6, True)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("user", "'user' expects <name> as arguments."),
        ("user a password x y", "'user' only supports 'password', 'insecure-password' and"),
        ("user a password $6$rounds=99999999$x$y", "more than 1,000,000 rounds"),
        ("user a groups g", "no such group 'g' specified in user 'a'"),
        ("group g users z", "no such user 'z' specified in group 'g'"),
        ("group", "'group' expects <name> as arguments."),
        ("group g foo x", "'group' only supports 'users' option, not 'foo'"),
        ("foo", "unknown keyword 'foo' in 'userlist' section"),
    ],
)
def test_what_is_wrong_with_a_user_list_is_said(lines: str, complaint: str) -> None:
    _, text = only_alert(f"userlist l\n    {lines}\n{LISTEN}")
    assert complaint in text
