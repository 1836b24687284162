"""The main thread's part of a server's new name (state/log_types.pxd): its memory."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from proxy.relay.state.log_types cimport LogName, NewName
from proxy.relay.state.types cimport Engine
from proxy.rules.types cimport NameFacts
from shm.atomics cimport exchange_pointer


cdef class Renames:
    """The names that servers got later, of one relay."""

    def __cinit__(self):
        self.given = {}

    cdef int give(
            self, uint32_t slot, bytes name, uint64_t stuck, LogName *logged,
            NameFacts *ruled) except -1:
        """Hand a name over to the relay thread, which takes it up before its next turn.

        It has at most SERVER_NAME_BYTES_MAX bytes. Raises MemoryError.
        """
        cdef NewName *made = <NewName *>malloc(sizeof(NewName))
        if made == NULL:
            raise MemoryError("name of a server")
        self.give_back()
        made.former = <NewName *><size_t>self.given.get(slot, 0)
        made.logged, made.ruled = logged, ruled
        made.slot, made.length, made.stuck = slot, <uint32_t>len(name), stuck
        memcpy(made.bytes, <const char *>name, len(name))
        self.given[slot] = <size_t>made
        # only this thread hands over: while the word is empty the relay thread leaves it so
        made.next = <NewName *>exchange_pointer(<void **>&self.engine.new_names, NULL)
        exchange_pointer(<void **>&self.engine.new_names, made)
        return 0

    cdef void give_back(self) noexcept:
        """Free the names that the relay thread has replaced."""
        cdef NewName *old = <NewName *>exchange_pointer(<void **>&self.engine.old_names, NULL)
        cdef NewName *following
        while old != NULL:
            following = old.next
            free(old)
            old = following

    def __dealloc__(self):
        """The relay thread has ended: the names that it has, and those that it has not taken."""
        cdef NewName *name
        cdef NewName *following
        cdef size_t address
        if self.engine == NULL:
            return
        self.give_back()
        for address in self.given.values():
            name = <NewName *>address
            while name != NULL:  # what it did not take keeps what it would have replaced
                following = name.former
                free(name)
                name = following
