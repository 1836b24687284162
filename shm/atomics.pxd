# The only atomics of the project: every access to a word of the segment is one of these functions.
#
# They are the compiler's `__atomic` built-ins, with the same memory order on x86-64 and arm64. A
# word with one writing thread is bumped with `count`: a relaxed load and store, no locked
# instruction. A word that several processes write (layout.pxd names them) needs `fetch_add`, or
# `raise_to` and `advance_to`, which never lower it; one of whose bits each has its writer,
# `bits_set` and `bits_clear`.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #ifndef MILLRACE_ATOMICS
    #define MILLRACE_ATOMICS
    #include <stdint.h>
    #ifdef MILLRACE_LOADED /* a build that tells what is looked at: tests/relay/lines.pyx */
    static void (*millrace_loaded)(const void *word);
    #define LOADED(word) do { if (millrace_loaded) millrace_loaded(word); } while (0)
    #else
    #define LOADED(word) ((void)0)
    #endif
    static inline uint64_t load_relaxed(const uint64_t *word) {
        LOADED(word);
        return __atomic_load_n(word, __ATOMIC_RELAXED);
    }
    static inline uint64_t load_acquire(const uint64_t *word) {
        LOADED(word);
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline uint32_t load32_acquire(const uint32_t *word) {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline void store_relaxed(uint64_t *word, uint64_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELAXED);
    }
    static inline void store_release(uint64_t *word, uint64_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline void store32_release(uint32_t *word, uint32_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline uint32_t load32_relaxed(const uint32_t *word) {
        return __atomic_load_n(word, __ATOMIC_RELAXED);
    }
    static inline int swap_word(uint64_t *word, uint64_t found, uint64_t wanted) {
        return __atomic_compare_exchange_n(
            word, &found, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline void fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
    static inline void fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
    static inline void fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    static inline uint64_t fetch_add(uint64_t *word, uint64_t amount) {
        return __atomic_fetch_add(word, amount, __ATOMIC_ACQ_REL);
    }
    static inline int64_t fetch_add_signed(int64_t *word, int64_t amount) {
        return __atomic_fetch_add(word, amount, __ATOMIC_ACQ_REL);
    }
    static inline void bits_set(uint64_t *word, uint64_t bits) {
        __atomic_fetch_or(word, bits, __ATOMIC_ACQ_REL);
    }
    static inline void bits_clear(uint64_t *word, uint64_t bits) {
        __atomic_fetch_and(word, ~bits, __ATOMIC_ACQ_REL);
    }
    static inline void raise_to(uint64_t *word, uint64_t value) {
        uint64_t found = __atomic_load_n(word, __ATOMIC_RELAXED);
        while (found < value && !__atomic_compare_exchange_n(
                word, &found, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            ;
    }
    static inline uint64_t advance_to(uint64_t *word, uint64_t least) {
        uint64_t found = __atomic_load_n(word, __ATOMIC_RELAXED), next;
        do
            next = found + 1 > least ? found + 1 : least;
        while (!__atomic_compare_exchange_n(
                word, &found, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
        return next;
    }
    static inline void *exchange_pointer(void **word, void *value) {
        return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
    }
    static inline void *load_pointer(void **word) {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline void count(uint64_t *word, uint64_t amount) {
        __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
    }
    #endif
    """
    uint64_t load_relaxed(const uint64_t *word) noexcept
    uint64_t load_acquire(const uint64_t *word) noexcept
    uint32_t load32_acquire(const uint32_t *word) noexcept
    void store_relaxed(uint64_t *word, uint64_t value) noexcept
    void store_release(uint64_t *word, uint64_t value) noexcept
    void store32_release(uint32_t *word, uint32_t value) noexcept
    uint32_t load32_relaxed(const uint32_t *word) noexcept
    bint swap_word(uint64_t *word, uint64_t found, uint64_t wanted) noexcept  # whether it was found
    void fence_acquire() noexcept
    void fence_release() noexcept
    void fence_full() noexcept  # between a store to this thread's word and loads of the others'
    uint64_t fetch_add(uint64_t *word, uint64_t amount) noexcept
    int64_t fetch_add_signed(int64_t *word, int64_t amount) noexcept
    void bits_set(uint64_t *word, uint64_t bits) noexcept  # only these; others' stay
    void bits_clear(uint64_t *word, uint64_t bits) noexcept
    void raise_to(uint64_t *word, uint64_t value) noexcept  # to the maximum of both
    uint64_t advance_to(uint64_t *word, uint64_t least) noexcept  # to max(word + 1, least)
    void *exchange_pointer(void **word, void *value) noexcept
    void *load_pointer(void **word) noexcept
    void count(uint64_t *word, uint64_t amount) noexcept
