/* Faults at the N-th call: a preloaded library that stands between the relay thread and libc.
 *
 * Owns the counting of calls by kind, and one armed fault at a time, both in a small control file
 * that the test maps too (`struct control`; tests/support/relay/faults.py has the same fields). Knows
 * nothing of sessions.
 *
 * The faults are such as the kernel may legally produce. Sockets are registered edge-triggered, so
 * an EAGAIN or a short count while data waits is legal only if the rest "came afterwards": the shim
 * says so by EPOLL_CTL_MOD, which raises the edge anew. Where the kernel owes no new edge (a splice
 * cut short by a pipe full of small pages, the false end of file before urgent data), the shim
 * raises none.
 *
 * A fault of the peer (urgent data, FIN, RST) is done by the test: the shim rings, and holds the
 * call back until the test has acknowledged.
 *
 * Only the relay thread is touched: the one that calls accept4. Writes to files are held in every
 * thread, because a disk that stands still makes no difference between them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum kind {
    KIND_RECV, KIND_SEND, KIND_SPLICE_IN, KIND_SPLICE_OUT, KIND_ACCEPT, KIND_CONNECT,
    KIND_SHUTDOWN, KIND_EPOLL_WAIT, KIND_CLOSE, KIND_PIPE, KIND_SOCKET, KIND_EPOLL_ADD,
    KIND_MEMORY, KINDS
};

enum action {
    ACTION_NONE,
    ACTION_ERROR,       /* return -1 and `error`, do nothing */
    ACTION_ERROR_EDGE,  /* the same, then raise the edge anew */
    ACTION_SHORT,       /* do `length` bytes at most */
    ACTION_SHORT_EDGE,  /* the same, then raise the edge anew */
    ACTION_ZERO,        /* return 0, do nothing */
    ACTION_ERROR_DONE,  /* do it, then return -1 and `error` */
    ACTION_AT_ONCE,     /* connect: return only when connected */
    ACTION_PEER,        /* the test acts before the call is made; with `error` it then fails */
};

struct control {
    uint32_t kind;         /* armed fault: of these calls ... */
    uint32_t number;       /* ... the number-th from now, 1 is the next; 0: none is armed */
    uint32_t action;
    uint32_t error;
    uint32_t length;
    uint32_t fired;        /* written by the shim: the fault has happened */
    uint32_t serial;       /* of the armed fault, counted by the test */
    uint32_t acknowledged; /* written by the test: its part of that serial's fault is done */
    uint32_t events_max;   /* epoll_wait hands out that many events at most; 0: no limit */
    uint32_t buffer_bytes; /* SO_SNDBUF and SO_RCVBUF of new sockets; 0: as they are */
    uint32_t pipe_error;   /* every pipe2 fails with it; 0: none */
    uint32_t pipe_size_error; /* every pipe is left as small as it is made; 0: none */
    uint32_t connect_error; /* every connect fails with it; 0: none */
    uint32_t chance;       /* of 65536: that a call fails or comes short by itself; 0: never */
    uint32_t seed;         /* of those */
    uint32_t hold_files;   /* while set, no write to a regular file returns */
    uint32_t held;         /* written by the shim: writes that were held so far */
    uint32_t counts[KINDS];
};

struct fault {
    enum action action;
    int error;
    size_t length;
};

#define DESCRIPTORS 65536
#define ACKNOWLEDGE_TRIES 60000 /* of 25 us and more: some 5 s, then the call goes on */

static struct control *control;
static int bell = -1;
static __thread int is_relay;
static struct { int epoll; struct epoll_event event; } registered[DESCRIPTORS];

#define REAL(name) ({ \
    static __typeof__(name) *found; \
    if (!found) found = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
    found; })

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("MILLRACE_SHIM");
    char bell_path[4096];
    int file;
    if (path == NULL || (file = open(path, O_RDWR | O_CLOEXEC)) < 0)
        return;
    void *mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    snprintf(bell_path, sizeof(bell_path), "%s.bell", path);
    bell = open(bell_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static uint32_t get(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static void set(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static uint32_t dice(void) {
    static __thread uint32_t state;
    if (state == 0)
        state = get(&control->seed) | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state >> 8;
}

/* A fault by chance: nothing that a session may notice. */
static struct fault fault_by_chance(enum kind kind) {
    struct fault none = {ACTION_NONE, 0, 0};
    uint32_t chance = get(&control->chance);
    if (chance == 0 || dice() % 65536 >= chance)
        return none;
    if (kind == KIND_EPOLL_WAIT || kind == KIND_ACCEPT)
        return (struct fault){ACTION_ERROR, kind == KIND_ACCEPT ? EAGAIN : EINTR, 0};
    if (kind == KIND_SPLICE_IN && dice() % 3 == 0)
        return (struct fault){ACTION_ZERO, 0, 0};
    if (kind > KIND_SPLICE_OUT)
        return none;
    if (dice() % 2)
        return (struct fault){ACTION_ERROR_EDGE, EAGAIN, 0};
    return (struct fault){ACTION_SHORT_EDGE, 0, 1 + dice() % 5000};
}

/* Count a call; the fault that is due. A peer's act is done before it returns. */
static struct fault at_call(enum kind kind) {
    struct fault none = {ACTION_NONE, 0, 0};
    int kept = errno;
    if (control == NULL || !is_relay)
        return none;
    set(&control->counts[kind], control->counts[kind] + 1);
    uint32_t left = get(&control->number);
    if (left == 0 || get(&control->kind) != kind)
        return fault_by_chance(kind);
    set(&control->number, left - 1);
    if (left > 1)
        return none;
    struct fault fault = {get(&control->action), (int)get(&control->error), get(&control->length)};
    set(&control->fired, 1);
    if (fault.action != ACTION_PEER)
        return fault;
    uint32_t serial = get(&control->serial);
    if (write(bell, "p", 1) == 1)
        for (int tries = 0; tries < ACKNOWLEDGE_TRIES; tries++) {
            if (get(&control->acknowledged) >= serial)
                break;
            nanosleep(&(struct timespec){0, 25000}, NULL);
        }
    errno = kept;
    return fault.error ? (struct fault){ACTION_ERROR, fault.error, 0} : none;
}

/* The allocator's own names: to look for the next `malloc` would allocate. */
void *__libc_malloc(size_t length);
void *__libc_calloc(size_t count, size_t length);
void *__libc_realloc(void *memory, size_t length);

static int no_memory(void) {
    return is_relay && at_call(KIND_MEMORY).action == ACTION_ERROR;
}

void *malloc(size_t length) { return no_memory() ? NULL : __libc_malloc(length); }

void *calloc(size_t count, size_t length) {
    return no_memory() ? NULL : __libc_calloc(count, length);
}

void *realloc(void *memory, size_t length) {
    return no_memory() ? NULL : __libc_realloc(memory, length);
}

static void raise_edge(int fd) {
    int kept = errno;
    if (fd >= 0 && fd < DESCRIPTORS && registered[fd].epoll > 0)
        REAL(epoll_ctl)(registered[fd].epoll - 1, EPOLL_CTL_MOD, fd, &registered[fd].event);
    errno = kept;
}

static int fail(struct fault fault) {
    errno = fault.error;
    return -1;
}

/* What a transfer of `length` bytes on socket `fd` comes to; `call` makes the real one. */
#define TRANSFER(kind, fd, length, call) do { \
    struct fault fault = at_call(kind); \
    if (fault.action == ACTION_ERROR_EDGE) \
        raise_edge(fd); \
    if (fault.action == ACTION_ERROR || fault.action == ACTION_ERROR_EDGE) \
        return fail(fault); \
    if (fault.action == ACTION_ZERO) \
        return 0; \
    int shortened = fault.action == ACTION_SHORT || fault.action == ACTION_SHORT_EDGE; \
    if (shortened && length > fault.length) \
        length = fault.length; \
    ssize_t moved = call; \
    if (fault.action == ACTION_SHORT_EDGE) \
        raise_edge(fd); \
    return moved; \
} while (0)

ssize_t recv(int fd, void *buffer, size_t length, int flags) {
    TRANSFER(KIND_RECV, fd, length, REAL(recv)(fd, buffer, length, flags));
}

ssize_t __recv_chk(int fd, void *buffer, size_t length, size_t room, int flags) {
    (void)room;
    return recv(fd, buffer, length, flags);
}

ssize_t send(int fd, const void *buffer, size_t length, int flags) {
    TRANSFER(KIND_SEND, fd, length, REAL(send)(fd, buffer, length, flags));
}

ssize_t splice(int source, off64_t *source_at, int target, off64_t *target_at, size_t length,
               unsigned int flags) {
    int is_socket = 0;
    socklen_t size = sizeof(is_socket);
    int into = getsockopt(source, SOL_SOCKET, SO_TYPE, &is_socket, &size) == 0;
    TRANSFER(into ? KIND_SPLICE_IN : KIND_SPLICE_OUT, into ? source : target, length,
             REAL(splice)(source, source_at, target, target_at, length, flags));
}

ssize_t write(int fd, const void *buffer, size_t length) {
    struct stat found;
    if (control != NULL && get(&control->hold_files) && fstat(fd, &found) == 0
            && S_ISREG(found.st_mode)) {
        __atomic_add_fetch(&control->held, 1, __ATOMIC_ACQ_REL);
        while (get(&control->hold_files))
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return REAL(write)(fd, buffer, length);
}

static void shrink(int fd) {
    int bytes = control != NULL ? (int)get(&control->buffer_bytes) : 0;
    int kept = errno;
    if (fd >= 0 && bytes > 0 && is_relay) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    }
    errno = kept;
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
    is_relay = 1;
    struct fault fault = at_call(KIND_ACCEPT);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    int accepted = REAL(accept4)(fd, address, size, flags);
    shrink(accepted);
    return accepted;
}

int socket(int family, int type, int protocol) {
    struct fault fault = at_call(KIND_SOCKET);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    int made = REAL(socket)(family, type, protocol);
    shrink(made);
    return made;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    struct fault fault = at_call(KIND_CONNECT);
    if (control != NULL && is_relay && get(&control->connect_error)) {
        errno = (int)get(&control->connect_error);
        return -1;
    }
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    int result = REAL(connect)(fd, address, size);
    if (fault.action == ACTION_AT_ONCE && result < 0 && errno == EINPROGRESS) {
        int error = 0;
        socklen_t error_size = sizeof(error);
        poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
        errno = error;
        result = error ? -1 : 0;
    }
    return result;
}

int shutdown(int fd, int how) {
    struct fault fault = at_call(KIND_SHUTDOWN);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    return REAL(shutdown)(fd, how);
}

int pipe2(int descriptors[2], int flags) {
    if (control != NULL && is_relay && get(&control->pipe_error)) {
        errno = (int)control->pipe_error;
        return -1;
    }
    struct fault fault = at_call(KIND_PIPE);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    return REAL(pipe2)(descriptors, flags);
}

static int sized(int fd, int command, long argument, int (*real)(int, int, ...)) {
    if (command == F_SETPIPE_SZ && control != NULL && is_relay && get(&control->pipe_size_error)) {
        errno = (int)control->pipe_size_error;
        return -1;
    }
    return real(fd, command, argument);
}

int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return sized(fd, command, argument, REAL(fcntl));
}

int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return sized(fd, command, argument, REAL(fcntl64));
}

int close(int fd) {
    struct fault fault = at_call(KIND_CLOSE);
    if (fd >= 0 && fd < DESCRIPTORS)
        registered[fd].epoll = 0;
    int result = REAL(close)(fd);
    return fault.action == ACTION_ERROR_DONE ? fail(fault) : result;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    struct fault fault = {ACTION_NONE, 0, 0};
    if (operation == EPOLL_CTL_ADD)
        fault = at_call(KIND_EPOLL_ADD);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    int result = REAL(epoll_ctl)(epoll, operation, fd, event);
    if (result == 0 && is_relay && fd >= 0 && fd < DESCRIPTORS) {
        registered[fd].epoll = operation == EPOLL_CTL_DEL ? 0 : epoll + 1;
        if (operation != EPOLL_CTL_DEL)
            registered[fd].event = *event;
    }
    return result;
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout) {
    struct fault fault = at_call(KIND_EPOLL_WAIT);
    if (fault.action == ACTION_ERROR)
        return fail(fault);
    if (fault.action == ACTION_ZERO)
        return 0;
    if (control != NULL && is_relay && get(&control->events_max))
        room = room < (int)control->events_max ? room : (int)control->events_max;
    return REAL(epoll_wait)(epoll, events, room, timeout);
}
