"""The rules of one relay as C structs, made of the settings.

Owns their memory, and the correspondence of actions with the numbers of rule_types.pxd. All
conditions of a relay are one program (proxy/rules/program.pyx). What a rule does is for the
session's stages.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free

from proxy.relay.rules.facts cimport ConfigurationFacts
from proxy.relay.rules.names cimport place_of
from proxy.relay.state.rule_types cimport (
    ALWAYS, RULE_ACCEPT, RULE_BACKEND, RULE_CAPTURE, RULE_CLOSE, RULE_COUNT, RULE_DROP,
    RULE_CLIENT_MARK, RULE_CLIENT_TOS, RULE_COOKIE, RULE_EXPECT_PROXY, RULE_FORCE, RULE_HASH,
    RULE_IGNORE, RULE_LOG_LEVEL, RULE_NOTHING, RULE_REJECT, RULE_RETRIES, RULE_SERVER,
    RULE_SERVER_MARK, RULE_SERVER_TOS, RULE_SET_DESTINATION, RULE_SET_DESTINATION_PORT,
    RULE_SET_SOURCE, RULE_SET_SOURCE_PORT, RULE_SET_VARIABLE, RULE_STICK_MATCH, RULE_STICK_ON,
    RULE_STICK_STORE, RULE_TAG, RULE_TRACK, RULE_UNSET_VARIABLE, BackendName, BackendNames,
    BackendRules, FrontendRules, Rule, Ruleset)
from proxy.rules.codes cimport CONVERT_CRC32, CONVERT_DJB2, CONVERT_SDBM, CONVERT_WT6
from proxy.rules.program cimport Conditions, Phrases, zeroed
from proxy.rules.types cimport SCRATCH_BYTES, Scratch
from proxy.rules.variables.memory cimport LEVELS
from shm.members cimport BACKEND_NAME_BYTES_MAX
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
    RuleAction.SET_VARIABLE: RULE_SET_VARIABLE,
    RuleAction.UNSET_VARIABLE: RULE_UNSET_VARIABLE,
    RuleAction.CAPTURE: RULE_CAPTURE,
    RuleAction.SET_SOURCE: RULE_SET_SOURCE,
    RuleAction.SET_SOURCE_PORT: RULE_SET_SOURCE_PORT,
    RuleAction.SET_DESTINATION: RULE_SET_DESTINATION,
    RuleAction.SET_DESTINATION_PORT: RULE_SET_DESTINATION_PORT,
    RuleAction.CLIENT_MARK: RULE_CLIENT_MARK,
    RuleAction.CLIENT_TOS: RULE_CLIENT_TOS,
    RuleAction.SERVER_MARK: RULE_SERVER_MARK,
    RuleAction.SERVER_TOS: RULE_SERVER_TOS,
    RuleAction.LOG_LEVEL: RULE_LOG_LEVEL,
    RuleAction.RETRIES: RULE_RETRIES,
    RuleAction.NICE: RULE_NOTHING,
    RuleAction.FORCE_PERSIST: RULE_FORCE,
    RuleAction.IGNORE_PERSIST: RULE_IGNORE,
    RuleAction.PERSIST_COOKIE: RULE_COOKIE,
    RuleAction.HASH: RULE_HASH,
    RuleAction.STICK_ANSWER: RULE_STICK_STORE,
}
HASHES = {
    "sdbm": CONVERT_SDBM,
    "djb2": CONVERT_DJB2,
    "wt6": CONVERT_WT6,
    "crc32": CONVERT_CRC32,
    "none": 0,
}
OF_THE_FRONT = frozenset({"dst", "dst_port", "dst_is_local"})


cdef set fetches_of(object rule):
    """All fetches of a rule."""
    values = [rule.key, *(part.value for part in rule.form)]
    terms = rule.condition.terms if rule.condition is not None else ()
    return {each.fetch for each in (*values, *terms) if each is not None}


cdef bint named_by_rules(object proxy) except -1:
    """Whether a session can be sent there by its name; a disabled one ends it."""
    return not proxy.spare_of and (
        proxy.backend_index is not None or (proxy.disabled and proxy.kind != "frontend"))


cdef bint logs_values(object proxy) except -1:
    """Whether the lines of a section have expressions."""
    access = proxy.access_log
    return access is not None and any(item.value is not None for item in access.every)


cdef set logged_fetches(object proxies):
    """All fetches of the lines of sections."""
    accesses = [proxy.access_log for proxy in proxies if proxy.access_log is not None]
    items = [item for access in accesses for item in access.every]
    return {item.value.fetch for item in items if item.value is not None}


cdef class Rulesets:
    """The rules of all sections of a configuration; MemoryError."""

    def __init__(self, Segment segment, uint32_t worker, settings, servers, lists) -> None:
        """`servers` is the table of all of them, by slot; `lists` are packed, or in their area."""
        self.segment, self.worker = segment, worker
        proxies = settings.proxies
        every = [rule for proxy in proxies if proxy.rules for rule in proxy.rules.every]
        conditions = list(dict.fromkeys(rule.condition for rule in every if rule.condition))
        self.conditions = Conditions(segment, conditions, lists)
        self.rules = <Rule *>zeroed(len(every), sizeof(Rule))
        self.frontends = <FrontendRules *>zeroed(len(proxies), sizeof(FrontendRules))
        self.backends = <BackendRules *>zeroed(len(proxies), sizeof(BackendRules))
        self.set_room(settings.variables, settings.globals.variable_bytes)
        if any(rule.form and rule.action.names_variable for rule in every):
            self.judge.text = <char *>zeroed(SCRATCH_BYTES, 1)
        if every or any(logs_values(proxy) for proxy in proxies):
            self.judge.scratch = <Scratch *>zeroed(1, sizeof(Scratch))
        self.judge.terms = self.conditions.terms
        self.judge.patterns = self.conditions.patterns
        self.phrases = Phrases(
            segment, [rule.key for rule in every if rule.key is not None],
            [rule.form for rule in every], lists)
        if any(rule.form and not rule.action.names_variable for rule in every):
            self.set_names([each for each in proxies if named_by_rules(each)])
            spare = [each.backend_index for each in proxies if each.spare_of]  # the last ones
            if spare:
                self.judge.names.first_spare = spare[0]
                self.judge.names.spare_end = spare[len(spare) - 1] + 1
        numbers = {condition: number for number, condition in enumerate(conditions)}
        asked = logged_fetches(proxies).union(*(fetches_of(rule) for rule in every))
        if asked:
            self.facts = ConfigurationFacts(proxies, servers, asked)
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
        free(self.judge.names.places)
        free(self.judge.names.room)
        free(self.judge.text)
        free(self.room.scopes)

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
        self.set_rules(&target.answers, proxy.rules.answers, numbers)
        self.set_rules(&target.persists, proxy.rules.persists, numbers)
        self.set_rules(&target.cookies, proxy.rules.cookies, numbers)
        self.set_rules(&target.hashes, proxy.rules.hashes, numbers)
        target.hash_function = HASHES[proxy.hash_function]

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
            rule.when = each.when
            rule.length = each.length
            rule.condition = ALWAYS
            rule.hits = self.hits_of(each)
            file = each.origin.file.encode(errors="surrogateescape")
            rule.file, rule.file_length = self.phrases.keep(file), len(file)
            rule.line = each.origin.line
            if each.key is not None:
                rule.key = self.phrases.add(each.key)
            if each.form:
                rule.parts = self.phrases.add_format(each.form)
                rule.part_count = <uint32_t>len(each.form)
            if each.condition is not None:
                rule.condition = self.conditions.firsts[<uint32_t>numbers[each.condition]]
            target.front = target.front or each.action.moves.startswith("dst") or bool(
                fetches_of(each) & OF_THE_FRONT)
            rule += 1
        return 0

    cdef uint64_t *hits_of(self, object rule) except NULL:
        """The word of the worker that counts what a rule does."""
        if not 0 <= rule.number < self.segment.shape.rules:
            raise IndexError(f"rule {rule.number} of {self.segment.shape.rules}")
        return &rule_counter(&self.segment.view, self.worker, <uint32_t>rule.number).hits

    cdef int set_room(self, object levels, object limits) except -1:
        """Note the variables of a session, by number, and how many bytes they may take."""
        cdef uint32_t number = 0, level
        self.judge.room = &self.room
        self.room.row = 2 * self.worker
        self.room.count = <uint32_t>len(levels)
        self.room.scopes = <uint8_t *>zeroed(len(levels), 1)
        for each in levels:
            self.room.scopes[number] = each
            number += 1
        for level in range(LEVELS):
            self.room.most[level] = limits[level]
        if limits[LEVELS] != 0:  # of the process, which has no variable of its own
            self.room.most[0] = min(limits[0] or limits[LEVELS], limits[LEVELS])
        return 0

    cdef int set_names(self, object proxies) except -1:
        """Hash the names that formats may say."""
        cdef BackendNames *names = &self.judge.names
        cdef BackendName *place
        cdef bytes name
        cdef size_t count = 2
        while count < 2 * <size_t>len(proxies):
            count *= 2
        names.mask = count - 1
        names.places = <BackendName *>zeroed(count, sizeof(BackendName))
        names.room_bytes = 1 + max(
            (len(proxy.name.encode()) for proxy in proxies), default=0)
        names.room_bytes = max(names.room_bytes, <size_t>BACKEND_NAME_BYTES_MAX + 1)
        names.room = <char *>zeroed(names.room_bytes, 1)
        for proxy in proxies:
            name = proxy.name.encode(errors="surrogateescape")
            place = place_of(names, name, len(name))
            place.bytes = self.phrases.keep(name)
            place.length = <uint32_t>len(name)
            place.index = -1 if proxy.backend_index is None else proxy.backend_index
        return 0

    cdef const FrontendRules *of_frontend(self, object proxy) except? NULL:
        """The rules for clients of a section; NULL without any."""
        return &self.frontends[<uint32_t>proxy.frontend_index] if proxy.rules else NULL

    cdef const BackendRules *of_backend(self, object proxy) except? NULL:
        """The rules for sessions of a section; NULL without any."""
        return &self.backends[<uint32_t>proxy.backend_index] if proxy.rules else NULL
