/* http_server.h - an HTTP/1.1 server on loopback for tests, in a thread: files of a folder, and every fault on
 * purpose. */
#ifndef TURTLE_TESTS_SUPPORT_HTTP_SERVER_H
#define TURTLE_TESTS_SUPPORT_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "tests/support/check.h"

/* Faults of the server: each holds for paths that contain `of`, or for all where that is NULL. */
typedef struct {
    const char *folder; /* that is served */
    const char *of;
    int64_t cut;     /* the first answer ends after so many bytes; 0: none does */
    bool cut_always; /* every answer does */
    bool missing;    /* 404 */
    bool damaged;    /* one byte of the file is another one */
    bool no_ranges;  /* the whole file whatever is asked for */
    int64_t longer;  /* bytes that stand behind the file */
    bool slow;       /* 64 KiB, then a second of nothing, and so on */
    /* --- kept by the server --- */
    int socket, port;
    int requests; /* answered */
    int cuts;
    char log
        [8192]; /* a line "<path> <first byte>" for each request; CONNECT and foreign hosts too */
    pthread_t thread;
} HttpServer;

static inline bool send_all(int to, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes) {
        const ssize_t n = send(to, at, bytes, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static inline void send_status(int to, const char *status) {
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             status);
    send_all(to, head, strlen(head));
}

static inline void send_file(HttpServer *s, int to, const char *path, int64_t first, bool fault) {
    FileMap map;
    char *file = format_text("%s%s", s->folder, path), head[256];
    if (file_map(&map, file, NULL) != OK) {
        send_status(to, "404 Not Found");
        free(file);
        return;
    }
    free(file);
    const int64_t extra = fault ? s->longer : 0, whole = map.bytes + extra;
    uint8_t *copy = calloc(1, (size_t)whole + 1);
    memcpy(copy, map.data, (size_t)map.bytes);
    file_unmap(&map);
    if (fault && s->damaged) copy[whole / 2] ^= 1;
    if (first > 0 && fault && s->no_ranges) first = 0;
    if (first > 0 && first >= whole) {
        send_status(to, "416 Range Not Satisfiable");
        free(copy);
        return;
    }
    const int64_t n = whole - first;
    int used =
        snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %lld\r\nConnection: close\r\n",
                 first ? "206 Partial Content" : "200 OK", (long long)n);
    if (first)
        used += snprintf(head + used, sizeof head - (size_t)used,
                         "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)first,
                         (long long)whole - 1, (long long)whole);
    snprintf(head + used, sizeof head - (size_t)used, "\r\n");
    send_all(to, head, strlen(head));
    int64_t most = n;
    if (fault && s->cut && (s->cut_always || s->cuts == 0) && s->cut < n) {
        most = s->cut;
        s->cuts++;
    }
    for (int64_t at = 0; at < most;) {
        const int64_t piece = fault && s->slow ? 1 << 16 : most;
        const int64_t now = most - at < piece ? most - at : piece;
        if (!send_all(to, copy + first + at, (size_t)now)) break;
        at += now;
        if (fault && s->slow && at < most) sleep(1);
    }
    free(copy);
}

static inline void answer(HttpServer *s, int to) {
    char text[4096], method[16] = "", path[2048] = "";
    size_t n = 0;
    while (n + 1 < sizeof text) {
        const ssize_t got = recv(to, text + n, sizeof text - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
        text[n] = '\0';
        if (strstr(text, "\r\n\r\n")) break;
    }
    text[n] = '\0';
    if (sscanf(text, "%15s %2047s", method, path) != 2) return;
    const char *range = strstr(text, "Range: bytes=");
    const int64_t first = range ? atoll(range + 13) : 0;
    const size_t used = strlen(s->log);
    snprintf(s->log + used, sizeof s->log - used, "%s %lld\n", path, (long long)first);
    s->requests++;
    const bool fault = !s->of || strstr(path, s->of);
    /* a foreign host comes here as to a proxy: nothing of it is had */
    if (strcmp(method, "GET") != 0 || path[0] != '/' || strstr(path, "..") || (fault && s->missing))
        send_status(to, "404 Not Found");
    else send_file(s, to, path, first, fault);
}

static inline void *serve(void *server) {
    HttpServer *s = server;
    for (;;) {
        const int to = accept(s->socket, NULL, NULL);
        if (to < 0) return NULL;
        answer(s, to);
        shutdown(to, SHUT_RDWR);
        close(to);
    }
}

/* Opens the server at a free port and makes it the only host that children reach: all other addresses go to it
 * as to a proxy and are refused. */
static inline void server_start(HttpServer *s) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    s->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(s->socket >= 0 && bind(s->socket, (struct sockaddr *)&at, sizeof at) == 0 &&
                  listen(s->socket, 8) == 0 &&
                  getsockname(s->socket, (struct sockaddr *)&at, &bytes) == 0,
              "no server on loopback");
    s->port = ntohs(at.sin_port);
    char *proxy = format_text("http://127.0.0.1:%d", s->port);
    setenv("http_proxy", proxy, 1);
    setenv("https_proxy", proxy, 1);
    setenv("no_proxy", "127.0.0.1", 1);
    unsetenv("HTTPS_PROXY");
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
    unsetenv("NO_PROXY");
    free(proxy);
    cr_assert(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static inline void server_stop(HttpServer *s) {
    shutdown(s->socket, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->socket);
}

#endif
