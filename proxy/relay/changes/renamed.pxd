# The relay thread's part of a server's new name: see state/log_types.pxd.

from proxy.relay.state.log_types cimport NewName
from proxy.relay.state.types cimport Engine
from shm.atomics cimport exchange_pointer, load_pointer


cdef inline void name_take(Engine *engine, NewName *name) noexcept nogil:
    """From now on the server has this name in the log, to rules, and in stick tables."""
    if name.logged != NULL:
        name.logged.bytes = name.bytes
        name.logged.length = name.length
    if name.ruled != NULL:
        name.ruled.name = name.bytes
        name.ruled.length = name.length
    engine.sticky[name.slot].name = name.stuck


cdef inline void names_take(Engine *engine) noexcept nogil:
    """Take up what servers were renamed to, the oldest first; between two turns."""
    cdef NewName *given
    cdef NewName *name
    cdef NewName *ordered = NULL
    if load_pointer(<void **>&engine.new_names) == NULL:
        return
    given = <NewName *>exchange_pointer(<void **>&engine.new_names, NULL)
    while given != NULL:
        name = given
        given = name.next
        name.next = ordered
        ordered = name
    while ordered != NULL:
        name = ordered
        ordered = name.next
        name_take(engine, name)
        if name.former != NULL:
            name.former.next = <NewName *>exchange_pointer(<void **>&engine.old_names, NULL)
            exchange_pointer(<void **>&engine.old_names, name.former)
            name.former = NULL
