/* file_digest.c - the digest of a whole file, read in pieces. */
#include "io/files/file_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files/md5.h"
#include "io/files/sha256.h"

enum { PIECE = 1 << 20 };

bool digest_kind_of(DigestKind *kind, const char *hex) {
    const size_t n = strlen(hex);
    *kind = n == MD5_HEX ? DIGEST_MD5 : DIGEST_SHA256;
    return (n == MD5_HEX || n == SHA256_HEX) && strspn(hex, "0123456789abcdefABCDEF") == n;
}

Status file_digest(char hex[DIGEST_HEX + 1], DigestKind kind, const char *path,
                   bool (*go_on)(void *context, int64_t bytes), void *context, Error *err) {
    Md5 md5;
    Sha256 sha256;
    Status st = OK;
    struct stat s;
    hex[0] = '\0';
    md5_init(&md5);
    sha256_init(&sha256);
    uint8_t *piece = malloc(PIECE);
    if (!piece) return fail(err, ERR_MEMORY, "digest: %s: out of memory", path);
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) st = fail(err, ERR_IO, "digest: %s: %s", path, strerror(errno));
    else if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
        st = fail(err, ERR_IO, "digest: %s: expected a regular file", path);
    int64_t done = 0;
    for (ssize_t n = 1; st == OK && n != 0;) {
        n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) st = fail(err, ERR_IO, "digest: %s: %s", path, strerror(errno));
        if (n <= 0) continue;
        if (kind == DIGEST_MD5) md5_update(&md5, piece, n);
        else sha256_update(&sha256, piece, n);
        done += n;
        if (go_on && !go_on(context, done))
            st = fail(err, ERR_STOPPED, "digest: %s: stopped after %lld bytes", path,
                      (long long)done);
    }
    if (st == OK && kind == DIGEST_MD5) md5_finish(&md5, hex);
    else if (st == OK) sha256_finish(&sha256, hex);
    if (fd >= 0) close(fd);
    free(piece);
    return st;
}
