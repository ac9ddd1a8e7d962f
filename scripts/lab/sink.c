/* Downloads one URL over many connections and throws the bytes away in the kernel (MSG_TRUNC), so that
 * the client is never the bottleneck: a few hundredths of a CPU second per gigabyte.
 *
 * usage: sink ADDRESS PORT PATH CONNECTIONS SECONDS [DOWNLOADS [RATE]]
 *   SECONDS    stop after this time; 0: when every connection has done its downloads
 *   DOWNLOADS  how often each connection fetches the file; 0: again and again (keep-alive)
 *   RATE       bytes a second that each connection reads at most; 0: as fast as it can
 * prints: RESULT bytes seconds downloads errors first-byte-ms-median first-byte-ms-max
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
    int fd, open, answered;
    long long left, allowance;
    int done;
    double asked;
    size_t head_len;
    char head[2048];
};

static struct sockaddr_in server;
static char request[1024];
static int ep, downloads_each, errors;
static long long bytes, downloads, rate;
static double *first;
static size_t firsts, first_room;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int ask(struct conn *c) {
    c->head_len = 0;
    c->answered = 0;
    c->left = 0;
    c->asked = now();
    size_t n = strlen(request);
    return write(c->fd, request, n) == (ssize_t)n ? 0 : -1;
}

static void dial(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket");
    if (rate > 0) {
        int small = 65536;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    struct epoll_event e = {.events = rate > 0 ? 0 : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0) fail("epoll_ctl");
    c->open = 1;
    if (ask(c) < 0) fail("request");
}

static void drop(struct conn *c, int again) {
    close(c->fd);
    c->open = 0;
    if (again) dial(c);
}

static int cmp(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void first_byte(struct conn *c) {
    if (c->answered) return;
    c->answered = 1;
    if (firsts == first_room) {
        first_room = first_room ? first_room * 2 : 1024;
        first = realloc(first, first_room * sizeof *first);
        if (!first) fail("realloc");
    }
    first[firsts++] = (now() - c->asked) * 1000;
}

/* Ends a download; 0 when the connection goes on. */
static int complete(struct conn *c) {
    downloads++;
    c->done++;
    if (downloads_each && c->done >= downloads_each) {
        drop(c, 0);
        return -1;
    }
    if (ask(c) < 0) {
        errors++;
        drop(c, 1);
        return -1;
    }
    return 0;
}

static void step(struct conn *c) {
    for (int turns = 0; turns < 16; turns++) {
        if (rate > 0 && c->allowance <= 0) return;
        ssize_t n;
        if (c->left == 0) {
            n = recv(c->fd, c->head + c->head_len, sizeof c->head - 1 - c->head_len, MSG_DONTWAIT);
            if (n <= 0) goto ended;
            first_byte(c);
            c->head_len += n;
            c->head[c->head_len] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                if (c->head_len == sizeof c->head - 1) goto wrong;
                continue;
            }
            char *length = strcasestr(c->head, "content-length:");
            if (strncmp(c->head, "HTTP/1.1 200", 12) || !length || length > end) goto wrong;
            long long body = (long long)(c->head_len - (end + 4 - c->head));
            bytes += body;
            c->allowance -= body;
            c->left = atoll(length + 15) - body;
            if (c->left == 0 && complete(c) < 0) return;
            continue;
        }
        long long want = 4 << 20;
        if (want > c->left) want = c->left;
        if (rate > 0 && want > c->allowance) want = c->allowance;
        n = recv(c->fd, NULL, want, MSG_TRUNC | MSG_DONTWAIT);
        if (n <= 0) goto ended;
        bytes += n;
        c->allowance -= n;
        c->left -= n;
        if (c->left == 0 && complete(c) < 0) return;
        continue;
    ended:
        if (n < 0 && errno == EAGAIN) return;
    wrong:
        errors++;
        drop(c, errors < 1000);
        return;
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: sink ADDRESS PORT PATH CONNECTIONS SECONDS [DOWNLOADS [RATE]]\n");
        return 2;
    }
    int n = atoi(argv[4]);
    double seconds = atof(argv[5]);
    downloads_each = argc > 6 ? atoi(argv[6]) : 0;
    rate = argc > 7 ? atoll(argv[7]) : 0;
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) fail("address");
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", argv[3], argv[1], argv[2]);
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct conn *conns = calloc(n, sizeof *conns);
    if (ep < 0 || !conns) fail("start");
    double began = now(), tick = began;
    for (int i = 0; i < n; i++) dial(&conns[i]);
    struct epoll_event events[256];
    for (;;) {
        double t = now();
        if (seconds > 0 && t - began >= seconds) break;
        int open = 0;
        if (rate > 0 && t - tick >= 0.1) {
            for (int i = 0; i < n; i++) {
                conns[i].allowance = (long long)(rate * (t - tick));
                if (conns[i].open) step(&conns[i]);
            }
            tick = t;
        }
        for (int i = 0; i < n && !open; i++) open = conns[i].open;
        if (!open) break;
        int ready = epoll_wait(ep, events, 256, rate > 0 ? 20 : 100);
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c->open) continue;
            /* A slow reader reads at its ticks only; here it hears of a connection that ended. */
            if (rate > 0) {
                errors++;
                drop(c, 0);
            } else {
                step(c);
            }
        }
    }
    double took = now() - began;
    qsort(first, firsts, sizeof *first, cmp);
    printf("RESULT %lld %.3f %lld %d %.1f %.1f\n", bytes, took, downloads, errors, firsts ? first[firsts / 2] : 0.0,
           firsts ? first[firsts - 1] : 0.0);
    return 0;
}
