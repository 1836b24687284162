/* A closed-loop generator of short connections from many source addresses.
 *
 * knock <IPv4 address> <port> <connections> <sources> <seconds> [<file>]
 *
 * Keeps `connections` of them under way: each connects from the next of `sources` loopback
 * addresses (127.200.0.0 and on), sends the bytes of the file, if one is named, and reads until the
 * other side ends or resets the connection; then the next begins. Prints one JSON object. Ends with
 * 0 when no connection failed otherwise. One thread, no timers.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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
    SOURCES_MAX = 1 << 20,
    SECONDS_MAX = 600,
    REQUEST_MAX = 16384, /* bytes */
    FIRST_SOURCE = 0x7fc80000, /* 127.200.0.0 */
    WAIT_MS = 100,
    EVENTS = 256,
};

struct knock {
    int fd;
    int asked; /* the request is sent */
    int heard; /* a byte of an answer came */
};

static struct knock knocks[CONNECTIONS_MAX];
static struct sockaddr_in target = {.sin_family = AF_INET};
static char request[REQUEST_MAX], buffer[65536];
static size_t request_bytes;
static uint32_t source, source_count;
static uint64_t ended, answered, errors, received;
static int epoll;

static void fail(const char *what)
{
    fprintf(stderr, "knock: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void begin(unsigned number)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(FIRST_SOURCE + source)};
    struct epoll_event event = {.events = (request_bytes ? EPOLLOUT : 0) | EPOLLIN, .data.u32 = number};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    source = source + 1 == source_count ? 0 : source + 1;
    if (fd < 0)
        fail("socket");
    /* the port is chosen when the connection is known, so that sources share no port range */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        fail("bind");
    if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 && errno != EINPROGRESS)
        fail("connect");
    knocks[number] = (struct knock){.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll");
}

static void end(unsigned number, int failed)
{
    close(knocks[number].fd);
    ended++;
    errors += (uint64_t)failed;
    answered += (uint64_t)knocks[number].heard;
    begin(number);
}

static void ask(unsigned number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (send(knocks[number].fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes) {
        end(number, errno != ECONNRESET && errno != EPIPE);
        return;
    }
    knocks[number].asked = 1;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, knocks[number].fd, &event) < 0)
        fail("epoll");
}

static void hear(unsigned number)
{
    ssize_t got;
    while ((got = recv(knocks[number].fd, buffer, sizeof(buffer), 0)) > 0) {
        received += (uint64_t)got;
        knocks[number].heard = 1;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    end(number, got < 0 && errno != ECONNRESET);
}

static void run(double seconds, unsigned connections)
{
    struct epoll_event events[EVENTS];
    int64_t stop = now_ns() + (int64_t)(seconds * 1e9);
    while (now_ns() < stop) {
        int count = epoll_wait(epoll, events, EVENTS, WAIT_MS);
        for (int event = 0; event < count; event++) {
            unsigned number = events[event].data.u32;
            if (!knocks[number].asked && request_bytes && (events[event].events & EPOLLOUT))
                ask(number);
            else
                hear(number);
        }
    }
    for (unsigned number = 0; number < connections; number++)
        close(knocks[number].fd);
}

static void read_request(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail(path);
    request_bytes = fread(request, 1, sizeof(request), file);
    if (request_bytes == 0 || ferror(file))
        fail(path);
    fclose(file);
}

int main(int argc, char **argv)
{
    unsigned connections = argc >= 6 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    double seconds = argc >= 6 ? strtod(argv[5], NULL) : 0;
    int64_t began;
    source_count = argc >= 6 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    if (argc > 7 || connections < 1 || connections > CONNECTIONS_MAX || source_count < 1 ||
        source_count > SOURCES_MAX || !(seconds > 0 && seconds <= SECONDS_MAX) ||
        inet_pton(AF_INET, argv[1], &target.sin_addr) != 1) {
        fprintf(stderr,
                "usage: knock <IPv4 address> <port> <connections, 1-%d> <sources, 1-%d> <seconds> [<file>]\n",
                CONNECTIONS_MAX, SOURCES_MAX);
        return 2;
    }
    target.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    if (argc == 7)
        read_request(argv[6]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    began = now_ns();
    for (unsigned number = 0; number < connections; number++)
        begin(number);
    run(seconds, connections);
    printf("{\"ended\": %lu, \"answered\": %lu, \"errors\": %lu, \"bytes\": %lu, \"seconds\": %.6f}\n", ended,
           answered, errors, received, (double)(now_ns() - began) / 1e9);
    return errors == 0 ? 0 : 3;
}
