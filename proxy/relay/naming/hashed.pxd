# What a session is hashed by, where its backend says: `balance hash`, `balance rdp-cookie`.
#
# The number takes the place of that of the client's address. A session without a value is balanced
# by turns, as one without an address.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance.source_hash cimport NO_SOURCE
from proxy.relay.naming.look cimport FirstBytes, look_set
from proxy.relay.state.rule_types cimport BackendRules, Rule
from proxy.relay.state.types cimport Engine, Session
from proxy.rules.coding.hashes cimport short_hash
from proxy.rules.evaluate cimport value_of
from proxy.rules.sample cimport as_bytes, as_number
from proxy.rules.types cimport ContentView, Context, Sample
from shm.atomics cimport count

cdef enum:
    HASH_AS_IT_IS = 0  # `hash-type ... none`
    EMPTY_IS_NONE = 1  # of an RDP cookie


cdef inline uint64_t sample_hash(
        const BackendRules *rules, const Rule *rule, Context *context,
        Sample *sample) noexcept nogil:
    if rules.hash_function == HASH_AS_IT_IS:
        return <uint32_t>sample.number if as_number(sample) else NO_SOURCE
    if not as_bytes(sample, context.scratch) or (
            rule.data == EMPTY_IS_NONE and sample.length == 0):
        return NO_SOURCE
    return short_hash(rules.hash_function, <const unsigned char *>sample.text, sample.length)


cdef inline void session_hash(
        Engine *engine, Session *session, const FirstBytes *first) noexcept nogil:
    """Take the number by which a hashing backend finds the session's server."""
    cdef const BackendRules *rules = session.backend.rules
    cdef const Rule *rule
    cdef Context context
    cdef ContentView view
    cdef Sample sample
    if rules == NULL or rules.hashes.count == 0:
        return
    rule = &rules.hashes.rules[0]
    look_set(engine, session, &rules.hashes, first, &context, &view)
    session.source_hash = NO_SOURCE
    if value_of(&context, rule.key, &sample):
        session.source_hash = sample_hash(rules, rule, &context, &sample)
        count(rule.hits, 1)
