"""Histograms of each `resolvers` section: durations of runs, and of moves after failed connects.

`HistogramReader` is for any process, `HistogramWriter` for resolverd (and for the supervisor before
the first fork, which carries the counts of the former generation over).
"""

from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport count, load_relaxed, store_relaxed
from shm.resolution_records cimport HISTOGRAM_BUCKETS, SectionHistograms
from shm.segment cimport Segment

BUCKETS = HISTOGRAM_BUCKETS  # the last has no upper bound
WORDS = sizeof(SectionHistograms) // 8
RUNS = 0  # which histogram
MOVES = 1


cdef SectionHistograms *section_of(Segment segment, uint32_t section) except NULL:
    if section >= segment.shape.sections:
        raise IndexError(f"section {section} of {segment.shape.sections}")
    return &segment.view.sections[section]


cdef class HistogramReader:
    """Reads the histograms of any section; IndexError for one that does not exist."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def words(self, uint32_t section) -> list:
        """All words, in the order of resolution_records.pxd."""
        cdef uint64_t *words = <uint64_t *>section_of(self.segment, section)
        return [load_relaxed(&words[word]) for word in range(WORDS)]

    def histogram(self, uint32_t section, uint32_t which) -> tuple:
        """Counts by bucket, and the sum in milliseconds, of RUNS or MOVES."""
        words = self.words(section)
        start = which * (BUCKETS + 1)
        return words[start:start + BUCKETS], words[start + BUCKETS]


cdef class HistogramWriter:
    """Counts into the histograms: resolverd only."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def observe(
            self, uint32_t section, uint32_t which, uint32_t bucket, uint64_t milliseconds) -> None:
        """Count one duration in its bucket."""
        cdef uint64_t *words = <uint64_t *>section_of(self.segment, section)
        if which > MOVES or bucket >= HISTOGRAM_BUCKETS:
            raise IndexError(f"bucket {bucket} of histogram {which}")
        words += which * (HISTOGRAM_BUCKETS + 1)
        count(&words[bucket], 1)
        count(&words[HISTOGRAM_BUCKETS], milliseconds)

    def carry(self, uint32_t section, list values) -> None:
        """Store all words of a former generation's section; before the first fork."""
        cdef uint64_t *words = <uint64_t *>section_of(self.segment, section)
        for word, value in enumerate(values[:WORDS]):
            store_relaxed(&words[<uint32_t>word], value)
