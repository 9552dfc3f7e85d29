/* planes.c - sorts a file's bytes by their place in an element, and back, to store recorded arrays.
 *
 * usage: planes split|join WIDTH <in >out
 *
 * `split` writes every element's first byte, then every second byte, and so on; `join` undoes it.
 * Planes that hold sign and exponent of floats deflate well, planes of the mantissa do not. Bytes
 * side by side in elements do not deflate at all. Any length is right: the last element may be cut
 * short.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20 };

/* Returns all of stdin as fresh memory, or NULL. */
static unsigned char *read_all(size_t *bytes) {
    unsigned char *data = NULL;
    size_t room = 0, n = 0, got = 1;
    while (got > 0) {
        if (room - n < CHUNK) {
            unsigned char *more = realloc(data, room = 2 * room + CHUNK);
            if (!more) {
                free(data);
                return NULL;
            }
            data = more;
        }
        n += got = fread(data + n, 1, CHUNK, stdin);
    }
    *bytes = n;
    return data;
}

int main(int argc, char **argv) {
    const int width = argc == 3 ? atoi(argv[2]) : 0;
    const int join = argc == 3 && strcmp(argv[1], "join") == 0;
    if (width < 1 || width > 8 || !(join || strcmp(argv[1], "split") == 0)) {
        fprintf(stderr, "usage: planes split|join WIDTH <in >out, WIDTH 1 to 8\n");
        return 2;
    }
    size_t bytes = 0, at = 0;
    unsigned char *in = read_all(&bytes), *out = malloc(bytes + 1);
    if (!in || !out) {
        fprintf(stderr, "planes: out of memory\n");
        free(in);
        free(out);
        return 1;
    }
    for (int plane = 0; plane < width; plane++)
        for (size_t i = (size_t)plane; i < bytes; i += (size_t)width, at++) {
            if (join) out[i] = in[at];
            else out[at] = in[i];
        }
    const int bad = ferror(stdin) || fwrite(out, 1, bytes, stdout) != bytes || fflush(stdout) != 0;
    if (bad) perror("planes");
    free(in);
    free(out);
    return bad;
}
