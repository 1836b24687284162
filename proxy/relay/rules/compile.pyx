"""The rules of one relay as C structs, made of the settings.

Owns their memory, and the correspondence of actions with the numbers of rule_types.pxd. All
conditions of a relay are one program (proxy/rules/program.pyx). What a rule does is for the
session's stages.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free

from proxy.relay.rules.facts cimport ConfigurationFacts
from proxy.relay.state.rule_types cimport (
    ALWAYS, RULE_ACCEPT, RULE_BACKEND, RULE_CLOSE, RULE_DROP, RULE_EXPECT_PROXY, RULE_REJECT,
    RULE_COUNT, RULE_SERVER, RULE_STICK_MATCH, RULE_STICK_ON, RULE_STICK_STORE, RULE_TAG,
    RULE_TRACK, BackendRules, FrontendRules, Rule, Ruleset)
from proxy.rules.program cimport Conditions, Program, zeroed
from proxy.rules.types cimport Call, Scratch
from shm.segment cimport Segment, rule_counter

from proxy.config.model.rules import RuleAction

ACTIONS = {
    RuleAction.ACCEPT: RULE_ACCEPT,
    RuleAction.REJECT: RULE_REJECT,
    RuleAction.SILENT_DROP: RULE_DROP,
    RuleAction.EXPECT_PROXY: RULE_EXPECT_PROXY,
    RuleAction.CLOSE: RULE_CLOSE,
    RuleAction.USE_BACKEND: RULE_BACKEND,
    RuleAction.USE_SERVER: RULE_SERVER,
    RuleAction.STICK_ON: RULE_STICK_ON,
    RuleAction.STICK_MATCH: RULE_STICK_MATCH,
    RuleAction.STICK_STORE: RULE_STICK_STORE,
    RuleAction.TRACK: RULE_TRACK,
    RuleAction.COUNT: RULE_COUNT,
    RuleAction.TAG: RULE_TAG,
}
OF_THE_FRONT = frozenset({"dst", "dst_port", "dst_is_local"})


def fetches_of(rules) -> set[str]:
    """The fetches that conditions and keys of these rules have."""
    terms = [term for rule in rules if rule.condition for term in rule.condition.terms]
    return {each.fetch for each in (*terms, *(rule.key for rule in rules if rule.key))}


cdef class Keys(Program):
    """The expressions that name entries of stick tables."""

    def __init__(self, Segment segment, values) -> None:
        """Make room for all of these."""
        self.begin(segment, sum(len(value.converters) for value in values))
        self.calls = <Call *>zeroed(len(values), sizeof(Call))

    def __dealloc__(self):
        free(self.calls)

    cdef const Call *add(self, object value) except NULL:
        cdef Call *target = &self.calls[self.count]
        self.set_call(target, value)
        self.count += 1
        return target


cdef class Rulesets:
    """The rules of all sections of a configuration; MemoryError."""

    def __init__(self, Segment segment, uint32_t worker, proxies, lists=()) -> None:
        """`proxies` are all sections of the settings, `lists` its lists of patterns."""
        self.segment, self.worker = segment, worker
        every = [rule for proxy in proxies if proxy.rules for rule in proxy.rules.every]
        conditions = list(dict.fromkeys(rule.condition for rule in every if rule.condition))
        self.conditions = Conditions(segment, conditions, lists)
        self.rules = <Rule *>zeroed(len(every), sizeof(Rule))
        self.frontends = <FrontendRules *>zeroed(len(proxies), sizeof(FrontendRules))
        self.backends = <BackendRules *>zeroed(len(proxies), sizeof(BackendRules))
        if every:
            self.judge.scratch = <Scratch *>zeroed(1, sizeof(Scratch))
        self.judge.terms = self.conditions.terms
        self.judge.patterns = self.conditions.patterns
        self.keys = Keys(segment, [rule.key for rule in every if rule.key is not None])
        numbers = {condition: number for number, condition in enumerate(conditions)}
        if every:
            self.facts = ConfigurationFacts(proxies, fetches_of(every))
            self.judge.facts = self.facts.facts
            self.judge.asks = self.facts.asks
        for proxy in proxies:
            if proxy.rules and proxy.frontend_index is not None:
                self.set_frontend(proxy, numbers)
            if proxy.rules and proxy.backend_index is not None:
                self.set_backend(proxy, numbers)

    def __dealloc__(self):
        free(self.rules)
        free(self.frontends)
        free(self.backends)
        free(self.judge.scratch)

    def set_frontend(self, proxy, dict numbers) -> None:
        """Fill the rules that a section has for its clients."""
        cdef FrontendRules *target = &self.frontends[<uint32_t>proxy.frontend_index]
        self.set_rules(&target.connection, proxy.rules.connection, numbers)
        self.set_rules(&target.session, proxy.rules.session, numbers)
        self.set_rules(&target.content, proxy.rules.content, numbers)
        self.set_rules(&target.backends, proxy.rules.backends, numbers)
        target.inspect_ms = proxy.rules.inspect_ms
        target.backend = -1 if proxy.backend_index is None else proxy.backend_index

    def set_backend(self, proxy, dict numbers) -> None:
        """Fill the rules that a section has for the sessions that it serves."""
        cdef BackendRules *target = &self.backends[<uint32_t>proxy.backend_index]
        self.set_rules(&target.content, proxy.rules.content, numbers)
        target.inspect_ms = proxy.rules.inspect_ms
        target.frontend = -1 if proxy.frontend_index is None else proxy.frontend_index
        self.set_rules(&target.server_rules, proxy.rules.server_rules, numbers)
        self.set_rules(&target.response, proxy.rules.response, numbers)
        target.response_ms = proxy.rules.response_ms
        self.set_rules(&target.sticks, proxy.rules.sticks, numbers)

    cdef int set_rules(self, Ruleset *target, object rules, dict numbers) except -1:
        cdef Rule *rule = &self.rules[self.taken]
        target.rules = rule
        target.count = <uint32_t>len(rules)
        self.taken += target.count
        for each in rules:
            rule.action = ACTIONS[each.action]
            rule.target = each.target
            rule.tracked = each.tracked
            rule.data = each.data
            rule.condition = ALWAYS
            rule.hits = self.hits_of(each)
            if each.key is not None:
                rule.key = self.keys.add(each.key)
                target.front = target.front or each.key.fetch in OF_THE_FRONT
            if each.condition is not None:
                rule.condition = self.conditions.firsts[<uint32_t>numbers[each.condition]]
                fetches = {term.fetch for term in each.condition.terms}
                target.front = target.front or bool(fetches & OF_THE_FRONT)
            rule += 1
        return 0

    cdef uint64_t *hits_of(self, object rule) except NULL:
        """The word of the worker that counts what a rule does."""
        if not 0 <= rule.number < self.segment.shape.rules:
            raise IndexError(f"rule {rule.number} of {self.segment.shape.rules}")
        return &rule_counter(&self.segment.view, self.worker, <uint32_t>rule.number).hits

    cdef const FrontendRules *of_frontend(self, object proxy) except? NULL:
        """The rules for clients of a section; NULL without any."""
        return &self.frontends[<uint32_t>proxy.frontend_index] if proxy.rules else NULL

    cdef const BackendRules *of_backend(self, object proxy) except? NULL:
        """The rules for sessions of a section; NULL without any."""
        return &self.backends[<uint32_t>proxy.backend_index] if proxy.rules else NULL
