"""The relay's small parts with handles for tests: timer wheel, object pool, schedule."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from proxy.relay.pool cimport Pool, pool_give, pool_init, pool_take
from proxy.relay.schedule cimport schedule_build, schedule_free
from proxy.relay.types cimport Schedule
from proxy.relay.wheel cimport (
    Timer, Wheel, wheel_insert, wheel_next_ms, wheel_remove, wheel_start, wheel_take)
from shm.segment cimport Segment


cdef class WheelHandle:
    """Numbered timers in one wheel."""

    cdef Wheel wheel
    cdef Timer *timers

    def __init__(self, uint32_t timers, int64_t now_ms):
        self.timers = <Timer *>calloc(timers, sizeof(Timer))
        wheel_start(&self.wheel, now_ms)

    def insert(self, uint32_t number, int64_t due_ms):
        wheel_insert(&self.wheel, &self.timers[number], due_ms)

    def remove(self, uint32_t number):
        wheel_remove(&self.timers[number])

    def take(self, int64_t now_ms):
        cdef Timer *timer = wheel_take(&self.wheel, now_ms)
        found = []
        while timer != NULL:
            found.append(timer - self.timers)
            timer = timer.next
        return found

    def next_ms(self):
        return wheel_next_ms(&self.wheel)

    def __dealloc__(self):
        free(self.timers)


cdef class PoolHandle:
    """Objects by address."""

    cdef Pool pool

    def __init__(self, uint32_t object_bytes):
        pool_init(&self.pool, object_bytes)

    def take(self):
        cdef unsigned char *found = <unsigned char *>pool_take(&self.pool)
        cdef uint32_t index
        for index in range(self.pool.object_bytes):
            if found[index] != 0:
                raise AssertionError("not zeroed")
            found[index] = 255
        return <uint64_t>found

    def give(self, uint64_t address):
        pool_give(&self.pool, <void *>address)

    @property
    def slabs(self):
        return self.pool.slabs


def schedule_of(Segment segment, uint32_t backend=0, bint allbackups=False):
    """The slots of a schedule, in the order of the turns."""
    cdef Schedule *schedule = schedule_build(&segment.view, backend, allbackups)
    cdef uint32_t index
    found = [schedule.slots[index] for index in range(schedule.entries)]
    schedule_free(schedule)
    return found
