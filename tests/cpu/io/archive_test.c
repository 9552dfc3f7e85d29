/* archive_test.c - entries of every kind of archive; truncated and damaged ones. */
#include "io/archives/archive.h"
#include "io/files/inflate_stream.h"
#include "tests/cpu/datasets/archives.h"
#include "tests/support/check.h"

/* Adds a tar header with fields of any content, a right checksum behind. `size` fills its field
 * as it stands. */
static void raw_header(Bytes *tar, const char *name, const char *size, char type,
                       const char *magic) {
    uint8_t h[512] = {0};
    unsigned sum = 0;
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 124, size, strlen(size) < 12 ? strlen(size) : 12);
    memset(h + 148, ' ', 8);
    h[156] = (uint8_t)type;
    memcpy(h + 257, magic, strlen(magic));
    for (int i = 0; i < 512; i++) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    bytes_add(tar, h, sizeof h);
}

static void raw_body(Bytes *tar, const char *text, size_t n) {
    bytes_add(tar, text, n);
    bytes_zeros(tar, (512 - n % 512) % 512);
}

/* Walks an archive to its end. `said` (1 << 14) receives a line for each entry: kind, name,
 * link, content. */
static Status walk(Archive *a, char *said, Error *err) {
    ArchiveEntry e;
    bool more;
    Status st;
    size_t used = 0;
    while ((st = archive_next(a, &e, &more, err)) == OK && more) {
        char piece[7];
        int64_t got = 1, all = 0;
        used += (size_t)snprintf(said + used, 4096, "%d %s %s ", e.kind, e.name, e.link);
        while ((st = archive_read(a, piece, sizeof piece, &got, err)) == OK && got > 0) {
            if (used < 12000) memcpy(said + used, piece, (size_t)got), used += (size_t)got;
            all += got;
        }
        if (st != OK) break;
        cr_expect(e.bytes == -1 || e.kind != ENTRY_FILE || e.bytes == all, "%s: %d bytes", e.name,
                  (int)all);
        said[used++] = '\n';
    }
    said[used] = '\0';
    return st;
}

static Status walk_file(const char *path, char *said, Error *err) {
    Archive *a;
    *said = '\0';
    Status st = archive_open(&a, path, err);
    if (st == OK) st = walk(a, said, err);
    archive_close(a);
    return st;
}

/* Pulls few bytes at a time, so that every state is left and entered again. */
typedef struct {
    const uint8_t *at, *end;
    int64_t step;
} Slow;

static Status pull_slowly(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    Slow *s = context;
    (void)err;
    *got = s->end - s->at < s->step ? s->end - s->at : s->step;
    if (*got > most) *got = most;
    memcpy(to, s->at, (size_t)*got);
    s->at += *got;
    return OK;
}

/* Expects the same from a file and from a function; a zip comes from a file alone. */
static void expect_entries(const Bytes *b, const char *expected, bool zip) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char *said = malloc(1 << 14);
    Error err = {""};
    write_bytes(path, b->data, b->size);
    ASSERT_OK(walk_file(path, said, &err), err);
    cr_expect_str_eq(said, expected);
    for (int64_t step = 1; !zip && step < 2000; step = 3 * step + 2) {
        Slow slow = {b->data, b->data + b->size, step};
        Archive *a;
        ASSERT_OK(archive_open_from(&a, pull_slowly, &slow, "x.gz", &err), err);
        ASSERT_OK(walk(a, said, &err), err);
        cr_expect_str_eq(said, expected, "%d at a time", (int)step);
        archive_close(a);
    }
    free(said), free(path);
    remove_folder(folder);
}

/* Expects a refusal whose message holds `word`. */
static void expect_refused(Bytes *b, const char *word) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char *said = malloc(1 << 14);
    Error err = {""};
    write_bytes(path, b->data ? b->data : (const uint8_t *)"", b->size);
    cr_expect(walk_file(path, said, &err) == ERR_FORMAT && strstr(err.text, word),
              "expected %s: %s", word, err.text);
    free(said), free(path);
    remove_folder(folder);
    bytes_free(b);
}

/* Expects that an archive cut anywhere before `whole` is refused, and not one behind. */
static void expect_cuts_refused(const Bytes *b, size_t whole) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char *said = malloc(1 << 14);
    Error err = {""};
    write_bytes(path, b->data, b->size);
    for (size_t n = b->size; n-- > 0;) {
        cr_assert(truncate(path, (off_t)n) == 0);
        const Status st = walk_file(path, said, &err);
        cr_expect(n >= whole ? st == OK : st == ERR_FORMAT, "cut to %zu: %d %s", n, st, err.text);
    }
    free(said), free(path);
    remove_folder(folder);
}

static Bytes small_tar(void) {
    Bytes tar = {0};
    char long_name[301];
    memset(long_name, 'n', 300);
    long_name[300] = '\0';
    tar_folder(&tar, "d/");
    tar_text(&tar, "d/a.txt", "hello");
    tar_text(&tar, long_name, "");
    tar_link(&tar, "d/l", "a.txt");
    tar_text(&tar, "d/\xc3\xa9.txt", "accent");
    return tar;
}

static const char *small_entries(void) {
    static char text[1000];
    char long_name[301];
    memset(long_name, 'n', 300);
    long_name[300] = '\0';
    snprintf(text, sizeof text,
             "1 d/  \n0 d/a.txt  hello\n0 %s  \n2 d/l a.txt \n0 d/\xc3\xa9.txt  accent\n",
             long_name);
    return text;
}

Test(archive, tars_plain_and_compressed) {
    Bytes tar = small_tar();
    const size_t entries = tar.size;
    tar_end(&tar);
    expect_entries(&tar, small_entries(), false);
    expect_cuts_refused(&tar, entries + 512);
    Bytes gz = gzip_of(&tar);
    expect_entries(&gz, small_entries(), false);
    expect_cuts_refused(&gz, gz.size);
    bytes_free(&gz), bytes_free(&tar);
}

/* GNU's long names and base 256, pax sizes, headers before POSIX, facts on the whole archive. */
Test(archive, tars_of_every_writer) {
    Bytes tar = {0};
    char base256[13] = "\x80\0\0\0\0\0\0\0\0\0\0\3";
    raw_header(&tar, "pax_global_header", "00000000013", 'g', "ustar");
    raw_body(&tar, "11 path=bad", 11);
    raw_header(&tar, "././@LongLink", "00000000015", 'L', "ustar  ");
    raw_body(&tar, "gnu/long/name", 13);
    raw_header(&tar, "gnu/lo", "          3 ", '0', "ustar  ");
    raw_body(&tar, "gnu", 3);
    uint8_t *h; /* the length in base 256 */
    raw_header(&tar, "base256", "", '0', "ustar");
    h = tar.data + tar.size - 512;
    memcpy(h + 124, base256, 12);
    memset(h + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    h[155] = ' ';
    raw_body(&tar, "256", 3);
    raw_header(&tar, "PaxHeaders/x", "00000000056", 'x', "ustar");
    raw_body(&tar, "19 path=from/a/pax\n9 size=4\n18 linkpath=nowhe\n", 46);
    raw_header(&tar, "short", "00000000000", '0', "ustar");
    raw_body(&tar, "pax!", 4);
    raw_header(&tar, "old/", "0", '\0', "");
    raw_header(&tar, "old/file", "4", '\0', "");
    raw_body(&tar, "1979", 4);
    raw_header(&tar, "hard", "00000000007", '1', "ustar"); /* a length without data */
    raw_header(&tar, "pipe", "00000000000", '6', "ustar");
    tar_end(&tar);
    expect_entries(
        &tar,
        "0 gnu/long/name  gnu\n0 base256  256\n0 from/a/pax  pax!\n1 old/  \n0 old/file  1979\n"
        "2 hard  \n3 pipe  \n",
        false);
    bytes_free(&tar);
}

/* Archives of Python's tarfile, zipfile and gzip; tests/goldens/archives/MANIFEST has their
 * entries. */
Test(archive, archives_of_another_writer) {
    static const char *const names[] = {"pax.tar", "gnu.tar.gz", "python.zip", "stream.zip",
                                        "lone.gz"};
    char long_name[121], z[2048], text[3000], *said = malloc(1 << 14);
    memset(long_name, 'n', 120);
    long_name[120] = '\0';
    for (int i = 0; i < 2048; i++) z[i] = (char)(i % 256);
    for (int i = 0; i < 5; i++) {
        char path[64];
        Error err = {""};
        snprintf(path, sizeof path, "tests/goldens/archives/%s", names[i]);
        ASSERT_OK(walk_file(path, said, &err), err);
        int n = 0;
        if (i < 4)
            n = sprintf(text,
                        "%s0 d/a.txt  hello\n\n0 d/%s.txt  long name\n\n0 "
                        "d/\xc3\xa9\xe2\x98\x83.txt  unicode\n\n",
                        i < 2 ? "1 d/  \n" : "", long_name);
        n += sprintf(text + n, "0 %s  ", i < 4 ? "z.bin" : "lone");
        memcpy(text + n, z, sizeof z);
        n += (int)sizeof z;
        n += sprintf(text + n, "\n%s", i < 2 ? "2 d/link a.txt \n" : "");
        cr_expect(memcmp(said, text, (size_t)n + 1) == 0, "%s: %s", path, said);
    }
    free(said);
}

Test(archive, damaged_tars_are_refused) {
    static const struct {
        const char *name, *size, *body, *word;
        char type;
    } cases[] = {{"a", "00000000005", "", "truncated", '0'},
                 {"a", "77777777777", "", "truncated", '0'},
                 {"a", "0000000008", "", "no number", '0'},
                 {"a", "-1", "", "no number", '0'},
                 {"a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", "no number", '0'},
                 {"a", "\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", "no number", '0'},
                 {"a", "00000000000", "", "sparse", 'S'},
                 {"L", "00001000000", "", "too long", 'L'},
                 {"x", "00000000005", "5 a=b", "wrong length", 'x'},
                 {"x", "00000000006", "7 a=b\n", "wrong length", 'x'},
                 {"x", "00000000006", "0 a=b\n", "wrong length", 'x'},
                 {"x", "00000000006", "6 aab\n", "no '='", 'x'},
                 {"x", "00000000012", "10 size=x\n", "no number", 'x'},
                 {"x", "00000000030", "24 GNU.sparse.major=1.0\n", "sparse", 'x'}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Bytes tar = {0};
        raw_header(&tar, cases[i].name, cases[i].size, cases[i].type, "ustar");
        raw_body(&tar, cases[i].body, strlen(cases[i].body));
        expect_refused(&tar, cases[i].word);
    }
    Bytes tar = {0};
    tar_text(&tar, "a", "one");
    tar_text(&tar, "b", "two");
    tar_end(&tar);
    tar.data[1024 + 3]++;
    expect_refused(&tar, "checksum");
    bytes_string(&tar, "this is a text and no archive");
    expect_refused(&tar, "expected tar");
    expect_refused(&tar, "empty");
}

/* Members that follow one another are one file (RFC 1952, 2.2); the entry has the file's name. */
Test(archive, gzips_of_one_member_and_of_many) {
    Bytes one = {0}, two = {0};
    bytes_string(&one, "first ");
    bytes_string(&two, "second");
    gzip_in_place(&one), gzip_in_place(&two);
    bytes_add(&one, two.data, two.size);
    expect_cuts_refused(&two, two.size);
    expect_entries(&one, "0 x  first second\n", false);
    bytes_zeros(&one, 700); /* padding */
    expect_entries(&one, "0 x  first second\n", false);
    bytes_string(&one, "junk");
    expect_refused(&one, "follow its end");
    char *folder = temporary_folder(), *path = format_text("%s/x", folder), said[1 << 14];
    for (size_t i = 0; i < two.size; i++) /* no bit may change the content; some mean nothing */
        for (int bit = 0; bit < 8; bit++) {
            Error err;
            two.data[i] ^= (uint8_t)(1 << bit);
            write_bytes(path, two.data, two.size);
            cr_expect(walk_file(path, said, &err) != OK || strcmp(said, "0 x  second\n") == 0,
                      "bit %d of byte %zu", bit, i);
            two.data[i] ^= (uint8_t)(1 << bit);
        }
    free(path);
    remove_folder(folder);
    bytes_free(&two);
}

Test(archive, zips_with_every_way_to_store) {
    static const char content[] = "text text text text text text text text text text";
    for (int zip64 = 0; zip64 < 2; zip64++) {
        ZipFile zip = {.zip64 = zip64};
        const int also = zip64 ? ZIPPED_64 : 0;
        zipped_text(&zip, "a/", "", also);
        zipped_text(&zip, "a/stored", content, also);
        zipped_text(&zip, "a/deflated", content, ZIPPED_DEFLATED | also);
        zipped_text(&zip, "a/descriptor", content, ZIPPED_DEFLATED | ZIPPED_DESCRIPTOR | also);
        zipped_text(&zip, "a/\xc3\xa9", "", also);
        zipped_text(&zip, "a/link", "../../etc", ZIPPED_LINK | also);
        Bytes b = zipped_end(&zip);
        char expected[1000];
        snprintf(expected, sizeof expected,
                 "1 a/  \n0 a/stored  %s\n0 a/deflated  %s\n0 a/descriptor  %s\n0 a/\xc3\xa9  \n"
                 "2 a/link  ../../etc\n",
                 content, content, content);
        expect_entries(&b, expected, true);
        if (!zip64) expect_cuts_refused(&b, b.size);
        const uint8_t *at = memmem(b.data, b.size, content, sizeof content - 1);
        Bytes bad = {0}; /* one byte of the stored entry */
        bytes_add(&bad, b.data, b.size);
        bad.data[at - b.data] ^= 1;
        expect_refused(&bad, "CRC-32");
        bytes_free(&b);
    }
}

/* A pass over a tar of 256 MiB keeps no more than a few of them. */
Test(archive, memory_is_bounded) {
    char *folder = temporary_folder(), *path = format_text("%s/x.tar", folder);
    const int64_t bytes = (int64_t)256 << 20;
    struct rusage before, after;
    Error err = {""};
    Archive *a;
    ArchiveEntry e;
    bool more;
    Bytes tar = {0};
    raw_header(&tar, "zeros", "02000000000", '0', "ustar");
    write_bytes(path, tar.data, tar.size);
    cr_assert(truncate(path, 512 + bytes + 1024) == 0); /* a hole */
    uint8_t *piece = malloc(1 << 18);
    memset(piece, 1, 1 << 18);
    getrusage(RUSAGE_SELF, &before);
    ASSERT_OK(archive_open(&a, path, &err), err);
    ASSERT_OK(archive_next(a, &e, &more, &err), err);
    cr_assert(more && e.bytes == bytes);
    int64_t all = 0, got = 1;
    for (; got > 0; all += got) ASSERT_OK(archive_read(a, piece, 1 << 18, &got, &err), err);
    cr_expect(all == bytes);
    ASSERT_OK(archive_next(a, &e, &more, &err), err);
    cr_expect(!more);
    archive_close(a);
    getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__
    cr_expect(after.ru_maxrss - before.ru_maxrss < 16 << 10, "%ld KiB more",
              after.ru_maxrss - before.ru_maxrss);
#endif
    bytes_free(&tar);
    free(piece), free(path);
    remove_folder(folder);
}

/* zlib's wrapper: a right one, a wrong Adler-32, and cuts at every byte. */
Test(archive, zlib_streams_in_pieces) {
    enum { BYTES = 300000 }; /* more than the decoder keeps */
    uint8_t *data = malloc(BYTES), *out = malloc(BYTES + 1);
    for (int i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i % 700 < 300 ? (i * 7 + i / 13) % 251 : i / 50);
    Bytes z = zlib_of(data, BYTES);
    for (int64_t cut = (int64_t)z.size; cut >= 0;
         cut -= cut > (int64_t)z.size - 20 || cut < 20 ? 1 : 997) {
        Slow slow = {z.data, z.data + cut, 1 + cut % 70000};
        InflateStream *f;
        Error err = {""};
        Status st;
        int64_t got = 1, all = 0;
        ASSERT_OK(inflate_open(&f, INFLATE_ZLIB, pull_slowly, &slow, "x", &err), err);
        while ((st = inflate_read(f, out + all, BYTES + 1 - all, &got, &err)) == OK && got > 0)
            all += got;
        if (cut == (int64_t)z.size) {
            ASSERT_OK(st, err);
            cr_expect(all == BYTES && memcmp(out, data, BYTES) == 0);
        } else {
            cr_expect(st == ERR_FORMAT && strstr(err.text, "truncated"), "cut to %d: %s", (int)cut,
                      err.text);
            cr_expect(inflate_read(f, out, 1, &got, &err) == ERR_FORMAT, "a failure stays one");
        }
        inflate_close(f);
    }
    z.data[z.size - 1] ^= 1;
    Slow slow = {z.data, z.data + z.size, 4096};
    InflateStream *f;
    Error err = {""};
    Status st;
    int64_t got = 1;
    ASSERT_OK(inflate_open(&f, INFLATE_ZLIB, pull_slowly, &slow, "x", &err), err);
    while ((st = inflate_read(f, out, BYTES, &got, &err)) == OK && got > 0) {}
    cr_expect(st == ERR_FORMAT && strstr(err.text, "Adler"), "%s", err.text);
    inflate_close(f);
    bytes_free(&z);
    free(out), free(data);
}
