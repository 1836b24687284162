# The system calls of relay and checks, and the constants they pass; declarations only.
#
# All of them go through libc, so that a test can put a library in front that injects faults.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from posix.types cimport off_t

cdef extern from "<sys/epoll.h>" nogil:
    const unsigned int EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLERR, EPOLLHUP, EPOLLRDHUP
    const unsigned int EPOLLET, EPOLLEXCLUSIVE
    const int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    ctypedef union epoll_data_t:
        void *ptr
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int events_max, int timeout_ms)

cdef extern from "<sys/socket.h>" nogil:
    const int AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    const int SOL_SOCKET, SO_ERROR, SO_KEEPALIVE, SO_LINGER
    const int SO_BINDTODEVICE, SO_MARK, SO_REUSEADDR
    const int MSG_NOSIGNAL, MSG_MORE, MSG_PEEK, MSG_DONTWAIT, SHUT_WR
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    cdef struct linger:
        int l_onoff
        int l_linger
    int socket(int family, int kind, int protocol)
    int accept4(int fd, sockaddr *address, socklen_t *length, int flags)
    int bind(int fd, const sockaddr *address, socklen_t length)
    int connect(int fd, const sockaddr *address, socklen_t length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    int getpeername(int fd, sockaddr *address, socklen_t *length)
    int shutdown(int fd, int how)
    ssize_t recv(int fd, void *bytes, size_t length, int flags)
    ssize_t send(int fd, const void *bytes, size_t length, int flags)
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    cdef struct mmsghdr:
        msghdr msg_hdr
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)

cdef extern from "<netinet/in.h>" nogil:
    const int IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6
    const int IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT, IP_TTL, IPV6_UNICAST_HOPS
    const int IP_TOS, IPV6_TCLASS
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    uint32_t ntohl(uint32_t value)

cdef extern from "<sys/un.h>" nogil:
    cdef struct sockaddr_un:
        unsigned short sun_family
        char[108] sun_path

cdef extern from "<arpa/inet.h>" nogil:
    enum: INET6_ADDRSTRLEN
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)

cdef extern from "<poll.h>" nogil:
    const short POLLIN, POLLOUT
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *descriptors, unsigned long count, int timeout_ms)

cdef extern from "<netinet/tcp.h>" nogil:
    const int TCP_NODELAY, TCP_QUICKACK, TCP_MAXSEG, TCP_USER_TIMEOUT, TCP_FASTOPEN_CONNECT
    const int TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_REPAIR

cdef extern from "<fcntl.h>" nogil:
    const int F_SETPIPE_SZ, O_NONBLOCK, O_CLOEXEC
    const unsigned int SPLICE_F_MOVE, SPLICE_F_NONBLOCK
    int fcntl(int fd, int command, ...)
    ssize_t splice(
        int source, off_t *source_offset, int target, off_t *target_offset, size_t length,
        unsigned int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int pipe2(int *ends, int flags)
    ssize_t write(int fd, const void *bytes, size_t length)

cdef extern from "<sys/mman.h>" nogil:
    const int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS
    void *MAP_FAILED
    void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
    int munmap(void *address, size_t length)

cdef extern from "<time.h>" nogil:
    const int CLOCK_MONOTONIC, CLOCK_REALTIME
    ctypedef long time_t
    cdef struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
        long tm_gmtoff
    tm *localtime_r(const time_t *second, tm *found)
    tm *gmtime_r(const time_t *second, tm *found)
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *value)


cdef inline int64_t clock_ms() noexcept nogil:
    """CLOCK_MONOTONIC in milliseconds; the engine reads it once per batch of events."""
    cdef timespec value
    clock_gettime(CLOCK_MONOTONIC, &value)
    return <int64_t>value.tv_sec * 1000 + value.tv_nsec // 1_000_000


cdef inline int64_t wall_clock_us() noexcept nogil:
    """CLOCK_REALTIME in microseconds: for what people read."""
    cdef timespec value
    clock_gettime(CLOCK_REALTIME, &value)
    return <int64_t>value.tv_sec * 1_000_000 + value.tv_nsec // 1000


cdef inline void ring_bell(int fd) noexcept nogil:
    """Add one to an eventfd; a full one wakes its reader anyway, so failures mean nothing."""
    cdef uint64_t one = 1
    write(fd, &one, sizeof(one))
