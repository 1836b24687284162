/* An open-loop HTTP/1.1 load generator: requests at a fixed rate, independent of the answers.
 *
 * pacer <IPv4 address> <port> <connections> <requests per second> <seconds>
 *
 * Request k is due at start + k / rate. It is sent on the connection that has been free for longest;
 * while none is free it waits, and its latency still counts from when it was due, so that a stall of
 * the proxy counts for every request that it delays (no coordinated omission). Prints one JSON
 * object; all latencies in microseconds. Ends with 0 when every request was answered.
 *
 * All answers must be equally long (Content-Length is read once). One thread, no timers but
 * epoll_pwait2, which waits in nanoseconds.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    RATE_MAX = 1000000, /* requests per second */
    SECONDS_MAX = 600,
    REQUESTS_MAX = 50000000, /* of one run: their latencies are kept, four bytes each */
    GRACE_SECONDS = 5,       /* for the last answers */
    EVENTS = 256,
    ANSWER_MAX = 65536, /* bytes */
};

struct connection {
    int fd;
    int busy;
    int64_t due_ns;
    size_t received; /* bytes of the answer that is coming */
};

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: load.test\r\n\r\n";
static struct connection connections[CONNECTIONS_MAX];
static int idle[CONNECTIONS_MAX]; /* a ring of free connections */
static unsigned idle_first, idle_count;
static unsigned connection_count;
static size_t answer_bytes;
static uint32_t *latencies_us, *lags_us;
static uint64_t answered, errors;
static char buffer[ANSWER_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "pacer: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void make_idle(int number)
{
    idle[(idle_first + idle_count++) % CONNECTIONS_MAX] = number;
}

/* Bytes of the whole answer whose head is in `buffer`; 0 while the head is incomplete. */
static size_t answer_length(size_t received)
{
    char *end, *length;
    buffer[received] = 0;
    end = strstr(buffer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    length = strcasestr(buffer, "\r\nContent-Length:");
    if (length == NULL || length > end)
        fail("the answer has no Content-Length");
    return (size_t)(end + 4 - buffer) + strtoul(length + 17, NULL, 10);
}

/* Connect, and fetch one answer before the clock runs. */
static void open_connection(struct connection *made, const struct sockaddr_in *target)
{
    int one = 1;
    size_t received = 0, wanted = 0;
    made->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made->fd < 0 || connect(made->fd, (const struct sockaddr *)target, sizeof(*target)) < 0)
        fail("connect");
    setsockopt(made->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (send(made->fd, REQUEST, sizeof(REQUEST) - 1, MSG_NOSIGNAL) < 0)
        fail("send");
    while (wanted == 0 || received < wanted) {
        ssize_t got = recv(made->fd, buffer + received, sizeof(buffer) - 1 - received, 0);
        if (got <= 0)
            fail("first answer");
        received += (size_t)got;
        wanted = answer_length(received);
    }
    if (strncmp(buffer, "HTTP/1.1 200", 12) != 0 || (answer_bytes != 0 && answer_bytes != wanted))
        fail("first answer is another one than expected");
    answer_bytes = wanted;
    fcntl(made->fd, F_SETFL, O_NONBLOCK);
}

static void drop(struct connection *broken)
{
    errors++;
    close(broken->fd);
    broken->fd = -1;
    broken->busy = 0;
}

static void receive(struct connection *from, int number)
{
    for (;;) {
        ssize_t got = recv(from->fd, buffer, sizeof(buffer) - 1, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0 || !from->busy) {
            drop(from);
            return;
        }
        from->received += (size_t)got;
        if (from->received > answer_bytes) {
            drop(from);
            return;
        }
        if (from->received == answer_bytes) {
            latencies_us[answered++] = (uint32_t)((now_ns() - from->due_ns) / 1000);
            from->busy = 0;
            from->received = 0;
            make_idle(number);
            return;
        }
    }
}

static int send_due(int64_t due_ns, uint64_t index)
{
    while (idle_count > 0) {
        int number = idle[idle_first];
        struct connection *to = &connections[number];
        idle_first = (idle_first + 1) % CONNECTIONS_MAX;
        idle_count--;
        if (to->fd < 0)
            continue;
        to->busy = 1;
        to->due_ns = due_ns;
        lags_us[index] = (uint32_t)((now_ns() - due_ns) / 1000);
        if (send(to->fd, REQUEST, sizeof(REQUEST) - 1, MSG_NOSIGNAL) == sizeof(REQUEST) - 1)
            return 1;
        drop(to);
        return 1;
    }
    return 0;
}

static void run(int epoll, uint64_t total, double rate, double seconds)
{
    struct epoll_event events[EVENTS];
    uint64_t next = 0;
    int64_t start = now_ns() + 1000000;
    int64_t end = start + (int64_t)((seconds + GRACE_SECONDS) * 1e9);
    while (answered + errors < total) {
        int64_t now = now_ns(), due = start + (int64_t)((double)next * 1e9 / rate);
        int64_t wait_ns = 10000000;
        int count;
        while (next < total && due <= now && send_due(due, next)) {
            next++;
            due = start + (int64_t)((double)next * 1e9 / rate);
        }
        if (now > end || errors >= connection_count)
            return; /* each error cost a connection */
        if (next < total && idle_count > 0)
            wait_ns = due > now ? due - now : 0;
        struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
        count = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
        for (int event = 0; event < count; event++) {
            int number = (int)events[event].data.u32;
            if (connections[number].fd >= 0)
                receive(&connections[number], number);
        }
    }
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static uint32_t quantile(const uint32_t *sorted, uint64_t count, double share)
{
    uint64_t index = (uint64_t)(share * (double)count);
    return count == 0 ? 0 : sorted[index < count ? index : count - 1];
}

static void print_report(uint64_t total, double elapsed)
{
    static const double SHARES[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999};
    qsort(latencies_us, answered, sizeof(*latencies_us), compare);
    qsort(lags_us, total, sizeof(*lags_us), compare);
    printf("{\"requests\": %lu, \"answered\": %lu, \"errors\": %lu, \"seconds\": %.6f, \"lag_p99_us\": %u, "
           "\"max_us\": %u, \"quantiles_us\": {",
           total, answered, errors, elapsed, quantile(lags_us, total, 0.99),
           quantile(latencies_us, answered, 1.0));
    for (size_t each = 0; each < sizeof(SHARES) / sizeof(*SHARES); each++)
        printf("%s\"%g\": %u", each ? ", " : "", SHARES[each],
               quantile(latencies_us, answered, SHARES[each]));
    printf("}}\n");
}

int main(int argc, char **argv)
{
    struct sockaddr_in target = {.sin_family = AF_INET};
    double rate = argc == 6 ? strtod(argv[4], NULL) : 0, seconds = argc == 6 ? strtod(argv[5], NULL) : 0;
    uint64_t total = (uint64_t)(rate * seconds);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int64_t began;
    connection_count = argc == 6 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    if (connection_count < 1 || connection_count > CONNECTIONS_MAX || !(rate >= 1 && rate <= RATE_MAX) ||
        !(seconds > 0 && seconds <= SECONDS_MAX) || total < 1 || total > REQUESTS_MAX ||
        inet_pton(AF_INET, argv[1], &target.sin_addr) != 1) {
        fprintf(stderr, "usage: pacer <IPv4 address> <port> <connections, 1-%d> <requests per second> <seconds>\n",
                CONNECTIONS_MAX);
        return 2;
    }
    target.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    latencies_us = calloc(total, sizeof(*latencies_us));
    lags_us = calloc(total, sizeof(*lags_us));
    if (latencies_us == NULL || lags_us == NULL)
        fail("memory");
    for (unsigned number = 0; number < connection_count; number++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
        open_connection(&connections[number], &target);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[number].fd, &event) < 0)
            fail("epoll");
        make_idle((int)number);
    }
    began = now_ns();
    run(epoll, total, rate, seconds);
    print_report(total, (double)(now_ns() - began) / 1e9);
    return answered == total ? 0 : 3;
}
