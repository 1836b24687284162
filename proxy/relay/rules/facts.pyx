"""What the configuration says of sections, bind addresses and servers, as C for the rules.

Owns the memory. Also says what the relays have to count because a rule looks at it.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

from cpython.bytes cimport PyBytes_AS_STRING

from proxy.relay.state.rule_types cimport (
    ASKED_BINDS, ASKED_FIELDS, ASKED_RATES, ASKED_UNIQUE_ID)
from proxy.rules.program cimport zeroed
from proxy.rules.types cimport NameFacts, SectionFacts

ASKED = {
    "fe_sess_rate": ASKED_RATES,
    "be_sess_rate": ASKED_RATES,
    "srv_sess_rate": ASKED_RATES,
    "dst_conn": ASKED_BINDS,
    "fc_pp_authority": ASKED_FIELDS,
    "fc_pp_unique_id": ASKED_FIELDS,
    "unique-id": ASKED_UNIQUE_ID,
}
OF_SERVERS = frozenset({"session.srv_id", "session.srv_name"})


cdef class ConfigurationFacts:
    """The facts of all sections, for rules with these fetches; MemoryError."""

    def __init__(self, proxies, servers, fetches) -> None:
        cdef SectionFacts *section
        self.kept = []
        self.kept_servers = {}
        frontends = [proxy for proxy in proxies if proxy.frontend_index is not None]
        backends = {p.backend_index: p for p in proxies if p.backend_index is not None}
        self.frontends = <SectionFacts *>zeroed(len(frontends), sizeof(SectionFacts))
        self.fullconns = <uint64_t *>zeroed(len(backends), sizeof(uint64_t))
        binds = [bind for proxy in frontends for bind in proxy.binds]
        self.binds = <NameFacts *>zeroed(len(binds), sizeof(NameFacts))
        for bind in binds:
            self.set_name(&self.binds[<uint32_t>bind.index], bind.id, bind.name)
        for proxy in frontends:
            section = &self.frontends[<uint32_t>proxy.frontend_index]
            section.number = proxy.id
            section.name = self.keep(proxy.name)
            section.name_length = len(proxy.name.encode())
            section.client_ms = proxy.timeouts.client_ms or 0
            if proxy.default_backend not in (None, proxy.backend_index):
                name = backends[proxy.default_backend].name
                section.backend = self.keep(name)
                section.backend_length = len(name.encode())
        for fetch in fetches:
            self.asks |= ASKED.get(fetch, 0)
        self.set_servers(servers, not OF_SERVERS.isdisjoint(fetches))
        self.facts.frontends = self.frontends
        self.facts.binds = self.binds
        self.facts.server_names = self.servers
        self.facts.maxqueues = self.maxqueues
        self.facts.minconns = self.minconns
        self.facts.fullconns = self.fullconns

    def __dealloc__(self):
        free(self.frontends)
        free(self.binds)
        free(self.servers)
        free(self.maxqueues)
        free(self.minconns)
        free(self.fullconns)

    cdef const char *keep(self, str text) except NULL:
        cdef bytes content = text.encode()
        self.kept.append(content)
        return PyBytes_AS_STRING(content)

    cdef int set_name(self, NameFacts *target, int number, object name) except -1:
        target.number = number
        target.name = self.keep(name or "")
        target.length = len((name or "").encode())
        return 0

    cdef int set_servers(self, object servers, bint named) except -1:
        """Names are kept only where a rule asks for them."""
        cdef size_t slots = servers.capacity
        self.maxqueues = <uint32_t *>zeroed(slots, sizeof(uint32_t))
        self.minconns = <uint32_t *>zeroed(slots, sizeof(uint32_t))
        if named:
            self.servers = <NameFacts *>zeroed(slots, sizeof(NameFacts))
        for server in servers:
            self.set_server(server)
        return 0

    cdef int set_server(self, object server) except -1:
        """What rules ask of one server, in place of the one that its slot had."""
        cdef uint32_t slot = server.slot
        cdef bytes name = server.name.encode()
        self.maxqueues[slot] = server.queueing.maxqueue
        self.minconns[slot] = server.queueing.minconn
        if self.servers != NULL:
            self.servers[slot].number = server.id
            self.servers[slot].name = PyBytes_AS_STRING(name)
            self.servers[slot].length = len(name)
            self.kept_servers[slot] = name
        return 0

    cdef NameFacts *server(self, size_t slot) noexcept:
        """What rules see of a server's name; NULL: none asks."""
        return &self.servers[slot] if self.servers != NULL else NULL
