/* unpack_test.c - files of archives below a folder; names, links and sizes that would do harm. */
#include "io/archives/place.h"
#include "io/archives/unpack.h"
#include "tests/cpu/datasets/archives.h"
#include "tests/support/check.h"

/* A folder with an archive x, a folder `in` to unpack into, and a file `secret` beside it. */
typedef struct {
    char *folder, *archive, *in, *secret;
} Place;

static Place place_make(Bytes *archive) {
    Place p = {.folder = temporary_folder()};
    p.archive = format_text("%s/x", p.folder);
    p.in = format_text("%s/in", p.folder);
    p.secret = format_text("%s/secret", p.folder);
    write_bytes(p.secret, "secret", 6);
    write_bytes(p.archive, archive->data, archive->size);
    bytes_free(archive);
    return p;
}

/* Returns whether nothing but the three files lies beside the folder, and the secret is what it
 * was. */
static bool is_untouched(const Place *p) {
    char text[32], *command = format_text("ls -A '%s' | grep -cvx -e x -e in -e secret", p->folder);
    FILE *f = popen(command, "r");
    int others = -1;
    cr_assert(f && fscanf(f, "%d", &others) == 1);
    pclose(f);
    free(command);
    read_text(text, sizeof text, p->secret);
    return others == 0 && strcmp(text, "secret") == 0;
}

static void place_free(Place *p) {
    free(p->archive), free(p->in), free(p->secret);
    remove_folder(p->folder);
}

static void expect_file(const Place *p, const char *name, const char *content) {
    char text[64], *path = format_text("%s/%s", p->in, name);
    read_text(text, sizeof text, path);
    cr_expect_str_eq(text, content, "%s", name);
    free(path);
}

Test(unpack, files_stand_below_the_folder) {
    Bytes tar = {0};
    tar_folder(&tar, "./");
    tar_folder(&tar, "./a/");
    tar_text(&tar, "./a/b/c.txt", "one");
    tar_text(&tar, "a//b/./d.txt", "two");
    tar_link(&tar, "a/b/link", "../b/c.txt");
    tar_text(&tar, "top", "three");
    tar_text(&tar, "top", "four"); /* the later one counts, as it does for tar */
    tar_end(&tar);
    Place p = place_make(&tar);
    UnpackCounts n;
    Error err = {""};
    for (int again = 0; again < 2; again++) {
        ASSERT_OK(unpack(p.archive, p.in, NULL, &n, &err), err);
        cr_expect(n.files == 4 && n.folders == 1 && n.bytes == 15 && n.links == 1 && n.passed == 0);
        expect_file(&p, "a/b/c.txt", "one");
        expect_file(&p, "a/b/d.txt", "two");
        expect_file(&p, "top", "four");
        cr_expect(count_files(p.in, "") == 3 && is_untouched(&p));
    }
    place_free(&p);
}

Test(unpack, names_that_lead_out_are_refused) {
    static const struct {
        const char *name, *word;
    } cases[] = {{"../secret", ".."},
                 {"a/../../secret", ".."},
                 {"a/..", ".."},
                 {"./../secret", ".."},
                 {"/tmp/secret", "absolute"},
                 {".//tmp/secret", NULL}, /* a doubled slash: it stays below */
                 {"..\\secret", "backslash"},
                 {"C:\\secret", "backslash"},
                 {"a\nb", "control"},
                 {"a\x7f", "control"},
                 {"a\x1b[2J", "control"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int zipped = 0; zipped < 2; zipped++) {
            Bytes b = {0};
            ZipFile zip = {0};
            if (zipped) zipped_text(&zip, cases[i].name, "evil", 0);
            if (zipped) b = zipped_end(&zip);
            else tar_text(&b, cases[i].name, "evil"), tar_end(&b);
            Place p = place_make(&b);
            Error err = {""};
            const Status st = unpack(p.archive, p.in, NULL, NULL, &err);
            cr_expect(cases[i].word ? st == ERR_FORMAT && strstr(err.text, cases[i].word)
                                    : st == OK,
                      "%s: %s", cases[i].name, err.text);
            cr_expect(is_untouched(&p) && count_files(p.in, "") == !cases[i].word);
            place_free(&p);
        }
    }
}

Test(unpack, links_and_devices_are_refused) {
    static const char *const out[] = {"/etc/passwd", "../secret", "a/../../secret", "..", ""};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        for (int zipped = 0; zipped < 2; zipped++) {
            Bytes b = {0};
            ZipFile zip = {0};
            if (zipped) zipped_text(&zip, "link", out[i], ZIPPED_LINK);
            if (zipped) b = zipped_end(&zip);
            else tar_link(&b, "link", out[i]), tar_end(&b);
            Place p = place_make(&b);
            Error err = {""};
            cr_expect(unpack(p.archive, p.in, NULL, NULL, &err) == ERR_FORMAT &&
                          strstr(err.text, "symbolic link"),
                      "%s: %s", out[i], err.text);
            place_free(&p);
        }
    }
    for (char type = '1'; type <= '6'; type++) {
        if (type == '2' || type == '5') continue;
        Bytes b = {0};
        tar_text(&b, "x", "");
        b.data[156] = (uint8_t)type;
        unsigned sum = 0;
        memset(b.data + 148, ' ', 8);
        for (int i = 0; i < 512; i++) sum += b.data[i];
        snprintf((char *)b.data + 148, 8, "%06o", sum);
        tar_end(&b);
        Place p = place_make(&b);
        Error err = {""};
        cr_expect(unpack(p.archive, p.in, NULL, NULL, &err) == ERR_FORMAT &&
                      strstr(err.text, type == '1' ? "hard link" : "device"),
                  "%c: %s", type, err.text);
        cr_expect(count_files(p.in, "") == 0);
        place_free(&p);
    }
    cr_expect(place_link_stays("a/b", "../c") && place_link_stays("a/b", "./c/d"));
    cr_expect(!place_link_stays("a/b", "../../c") && !place_link_stays("a", "../a"));
}

/* A link that stands in the folder already leads nothing out. */
Test(unpack, links_that_are_there_are_not_followed) {
    static const char *const names[] = {"link/file", "d/link/file", "link", "file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Bytes b = {0};
        tar_text(&b, names[i], "evil");
        tar_end(&b);
        Place p = place_make(&b);
        Error err = {""};
        char *link = format_text("%s/link", p.in), *d = format_text("%s/d", p.in);
        char *deep = format_text("%s/d/link", p.in), *file = format_text("%s/file", p.in);
        cr_assert(mkdir(p.in, 0777) == 0 && mkdir(d, 0777) == 0 && symlink(p.folder, link) == 0 &&
                  symlink("../..", deep) == 0 && symlink("../secret", file) == 0);
        cr_expect(unpack(p.archive, p.in, NULL, NULL, &err) == ERR_FORMAT &&
                      strstr(err.text, "remove it"),
                  "%s: %s", names[i], err.text);
        cr_expect(is_untouched(&p));
        free(file), free(deep), free(d), free(link);
        place_free(&p);
    }
}

/* One megabyte of zeros in a kilobyte, entry after entry: refused as soon as the limit is
 * passed. */
Test(unpack, bombs_are_refused_at_the_limit) {
    static uint8_t zeros[1 << 20];
    for (int kind = 0; kind < 4; kind++) {
        Bytes b = {0};
        ZipFile zip = {0};
        if (kind == 0) { /* a lone gzip does not say its length */
            bytes_add(&b, zeros, sizeof zeros);
            bytes_add(&b, zeros, sizeof zeros);
        }
        for (int i = 0; kind > 0 && i < 3; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            if (kind == 1) zipped_file(&zip, name, zeros, sizeof zeros, ZIPPED_DEFLATED);
            else tar_file(&b, name, zeros, sizeof zeros);
        }
        if (kind == 1) b = zipped_end(&zip);
        if (kind > 1) tar_end(&b);
        if (kind != 1) gzip_in_place(&b);
        cr_assert(b.size < 100000);
        Place p = place_make(&b);
        UnpackOptions options = {.most_bytes = 1500000};
        UnpackCounts n;
        Error err = {""};
        if (kind == 3) options = (UnpackOptions){.most_entries = 1};
        cr_expect(unpack(p.archive, p.in, &options, &n, &err) == ERR_FORMAT &&
                      strstr(err.text, "the most that"),
                  "%s", err.text);
        cr_expect(n.files == (kind > 0) && n.bytes <= 1500000 &&
                  count_files(p.in, "") == (kind > 0));
        cr_expect(count_files(p.in, ".tmp") == 0);
        place_free(&p);
    }
}

/* --- what callers choose ---------------------------------------------------------------------- */

static bool want_text(void *context, const char *name) {
    (void)context;
    return !strstr(name, ".skip");
}

static const char *move(void *context, const char *name) {
    char *to = context; /* (256) */
    if (strcmp(name, "inner.tar/gone") == 0) return NULL;
    const char *slash = strrchr(name, '/');
    snprintf(to, 256, "moved/%s", slash ? slash + 1 : name);
    return to;
}

static const char *move_out(void *context, const char *name) {
    (void)context, (void)name;
    return "../secret";
}

Test(unpack, inner_archives_are_opened_in_place) {
    Bytes inner = {0}, innermost = {0}, b = {0};
    tar_text(&innermost, "deep", "deep");
    tar_end(&innermost);
    gzip_in_place(&innermost);
    tar_text(&inner, "one", "1");
    tar_text(&inner, "x.skip", "");
    tar_text(&inner, "gone", "2");
    tar_take(&inner, "d/most.tgz", innermost);
    tar_end(&inner);
    tar_text(&b, "a/first", "0");
    tar_take(&b, "inner.tar", inner);
    tar_text(&b, "last", "3");
    tar_end(&b);
    Place p = place_make(&b);
    UnpackCounts n;
    Error err = {""};
    char to[256];
    UnpackOptions options = {.nested = true, .wanted = want_text};
    ASSERT_OK(unpack(p.archive, p.in, &options, &n, &err), err);
    cr_expect(n.files == 5 && n.archives == 2 && n.passed == 1 && count_files(p.in, "") == 5);
    expect_file(&p, "a/first", "0");
    expect_file(&p, "one", "1");
    expect_file(&p, "gone", "2");
    expect_file(&p, "d/deep", "deep");
    expect_file(&p, "last", "3");
    options = (UnpackOptions){.nested = true, .wanted = want_text, .rename = move, .context = to};
    ASSERT_OK(unpack(p.archive, p.in, &options, &n, &err), err);
    cr_expect(n.files == 4 && n.passed == 2);
    expect_file(&p, "moved/deep", "deep");
    expect_file(&p, "moved/one", "1");
    options = (UnpackOptions){0}; /* as a file */
    ASSERT_OK(unpack(p.archive, p.in, &options, &n, &err), err);
    cr_expect(n.files == 3 && n.archives == 0);
    options = (UnpackOptions){.rename = move_out};
    cr_expect(unpack(p.archive, p.in, &options, &n, &err) == ERR_FORMAT && is_untouched(&p), "%s",
              err.text);
    place_free(&p);
}

static bool stop_after_two(void *context, const UnpackCounts *counts) {
    (void)context;
    return counts->files < 2;
}

Test(unpack, a_stop_and_a_truncation_leave_whole_files) {
    Bytes b = {0};
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        tar_text(&b, name, "content");
    }
    tar_end(&b);
    Place p = place_make(&b);
    UnpackOptions options = {.go_on = stop_after_two};
    UnpackCounts n;
    Error err = {""};
    cr_expect(unpack(p.archive, p.in, &options, &n, &err) == ERR_STOPPED && n.files == 2);
    cr_expect(count_files(p.in, "") == 2);
    cr_assert(truncate(p.archive, 4 * 1024 + 512 + 3) == 0); /* in the middle of the fifth */
    cr_expect(unpack(p.archive, p.in, NULL, &n, &err) == ERR_FORMAT &&
                  strstr(err.text, "truncated"),
              "%s", err.text);
    cr_expect(n.files == 4 && count_files(p.in, "") == 4);
    cr_expect(unpack(p.archive, "/dev/null/x", NULL, &n, &err) == ERR_IO);
    cr_expect(unpack("/nowhere", p.in, NULL, &n, &err) == ERR_IO);
    place_free(&p);
}
