"""Sections in mode http, as the configuration links them."""

from __future__ import annotations

from proxy.config.linking.rules.lists import ListTable
from proxy.config.model.http import Action, HttpSection, RequestRule, StatsPage
from proxy.config.model.lists import ListSource, ListUse, PatternList
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import ACCEPTED, REJECTED, Condition, Term
from proxy.config.model.sockets import Origin
from proxy.lists.pack import Packer

TABLE = ListTable()  # of all these sections
METRICS = HttpSection(rulesets=((RequestRule(Action.METRICS),),), metrics_path="/metrics")


def on_paths(*paths: str) -> Condition:
    """`if { path <path>... }`."""
    packer = Packer("str")
    for path in paths:
        packer.add_text(path.encode())
    source = ListSource("acl", Origin(), word="path", patterns=paths)
    number = TABLE.number(PatternList(packer.packed(), ListUse(Matcher.STR), source))
    return Condition((Term("path", Matcher.STR, ACCEPTED, REJECTED, lists=(number,)),))


def metrics_on(*paths: str, page: StatsPage | None = None) -> HttpSection:
    """A section that serves metrics on these paths, and perhaps a page."""
    rule = RequestRule(Action.METRICS, on_paths(*paths))
    return HttpSection(page=page, rulesets=((rule,),), metrics_path=paths[0])


def page_at(uri: str, **words: bool) -> HttpSection:
    """A section that serves a page."""
    return HttpSection(page=StatsPage(uri, **words))
