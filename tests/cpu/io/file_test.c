/* file_test.c - files appear whole or not at all. */
#include <signal.h>

#include "tests/support/check.h"

static void expect_text(const char *path, const char *expected) {
    char text[256];
    read_text(text, sizeof text, path);
    cr_expect_str_eq(text, expected);
}

Test(file, a_commit_replaces_and_an_abort_does_not) {
    char *folder = temporary_folder(), *path = format_text("%s/a/b/x.txt", folder);
    AtomicFile file;
    Error err;
    ASSERT_OK(file_write_text(path, "old", &err), err);
    expect_text(path, "old\n");
    ASSERT_OK(atomic_open(&file, path, &err), err);
    fputs("new", file.stream);
    fflush(file.stream);
    expect_text(path, "old\n"); /* not before the commit */
    atomic_abort(&file);
    atomic_abort(&file); /* twice is fine */
    expect_text(path, "old\n");
    ASSERT_OK(atomic_open(&file, path, &err), err);
    fputs("new", file.stream);
    ASSERT_OK(atomic_commit(&file, &err), err);
    expect_text(path, "new");
    cr_expect(count_files(folder, "") == 1, "temporary files are left");
    free(path);
    remove_folder(folder);
}

/* A full disk leaves the old file and nothing else; a limit of file sizes stands for it. */
Test(file, a_failed_write_leaves_the_old_file) {
    char *folder = temporary_folder(), *path = format_text("%s/x.txt", folder);
    AtomicFile file;
    Error err = {""};
    ASSERT_OK(file_write_text(path, "old", &err), err);
    struct rlimit old, small = {4096, 4096};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &small) == 0);
    ASSERT_OK(atomic_open(&file, path, &err), err);
    for (int i = 0; i < 100000; i++) fputc('x', file.stream);
    cr_expect(atomic_commit(&file, &err) == ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_expect(strstr(err.text, "x.txt") != NULL, "%s", err.text);
    expect_text(path, "old\n");
    cr_expect(count_files(folder, "") == 1, "temporary files are left");
    free(path);
    remove_folder(folder);
}

Test(file, folders_that_cannot_be_are_refused) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char *below = format_text("%s/x/y/z", folder);
    AtomicFile file;
    FileMap map;
    Error err = {""};
    ASSERT_OK(file_write_text(path, "a file", &err), err);
    cr_expect(folder_make(below, &err) == ERR_IO);
    cr_expect(folder_make(path, &err) == ERR_IO);
    cr_expect(atomic_open(&file, below, &err) == ERR_IO);
    cr_expect(file_append_line(below, "line", &err) == ERR_IO);
    cr_expect(file_map(&map, folder, &err) == ERR_IO && strstr(err.text, "folder"), "%s", err.text);
    cr_expect(file_map(&map, below, &err) == ERR_IO);
    cr_expect(file_map(&map, "/dev/null", &err) == ERR_IO && strstr(err.text, "regular"), "%s",
              err.text);
    free(below);
    free(path);
    remove_folder(folder);
}

Test(file, an_empty_file_maps_to_nothing) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    FileMap map;
    Error err;
    write_bytes(path, "", 0);
    ASSERT_OK(file_map(&map, path, &err), err);
    cr_expect(map.bytes == 0 && map.data == NULL);
    file_unmap(&map);
    file_unmap(&map);
    file_unmap(NULL);
    free(path);
    remove_folder(folder);
}

/* Four processes append a hundred lines each: every line stays whole. */
Test(file, appended_lines_never_mix) {
    char *folder = temporary_folder(), *path = format_text("%s/sub/log.txt", folder);
    Error err;
    fflush(NULL);
    for (int p = 0; p < 4; p++)
        if (fork() == 0) {
            char line[64];
            memset(line, 'a' + p, 63);
            line[63] = '\0';
            for (int i = 0; i < 100; i++) file_append_line(path, line, &err);
            _exit(0);
        }
    while (wait(NULL) > 0) {}
    FILE *f = fopen(path, "r");
    char line[128];
    int lines = 0, mixed = 0;
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f)) {
        lines++;
        for (int i = 1; i < 63; i++) mixed += line[i] != line[0];
        mixed += line[63] != '\n';
    }
    fclose(f);
    cr_expect(lines == 400 && mixed == 0, "%d lines, %d mixed", lines, mixed);
    free(path);
    remove_folder(folder);
}

/* --- texts from elsewhere ---------------------------------------------------------------------- */

static void expect_read(const char *path, const char *expected) {
    FileMap map;
    Error err = {""};
    ASSERT_OK(file_read_text(&map, path, &err), err);
    cr_expect((size_t)map.bytes == strlen(expected) &&
                  (map.bytes == 0 || memcmp(map.data, expected, (size_t)map.bytes) == 0),
              "%s: %lld bytes: %.*s", path, (long long)map.bytes, (int)map.bytes, map.data);
    file_unmap(&map);
    file_unmap(&map);
}

/* Starts a shell command that works beside the test. */
static void beside(const char *command) {
    fflush(NULL);
    if (fork() != 0) return;
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

Test(file, texts_are_read_from_files_pipes_and_standard_input, .timeout = 20) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char *pipe_path = format_text("%s/pipe", folder), *command;
    int ends[2];
    write_bytes(path, "", 0);
    expect_read(path, "");
    write_bytes(path, "two\nlines", 9);
    expect_read(path, "two\nlines");
    cr_assert(mkfifo(pipe_path, 0600) == 0);
    static const char *const writers[] = {"printf 'a\\nb\\n'", "sleep 0.3; printf 'a\\nb\\n'",
                                          "(printf 'a\\n'; sleep 0.3; printf 'b\\n')"};
    for (int i = 0; i < 3; i++) { /* in time, late, slow */
        command = format_text("%s > %s", writers[i], pipe_path);
        beside(command);
        expect_read(pipe_path, "a\nb\n");
        free(command);
    }
    command = format_text("sleep 0.1; : > %s", pipe_path); /* the writer writes nothing and ends */
    beside(command);
    expect_read(pipe_path, "");
    free(command);
    cr_assert(pipe(ends) == 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    cr_assert(write(ends[1], "from stdin", 10) == 10 && close(ends[1]) == 0);
    expect_read("-", "from stdin");
    close(STDIN_FILENO);
    FileMap map;
    Error err = {""};
    cr_expect(file_read_text(&map, "-", &err) == ERR_IO && strstr(err.text, "closed"), "%s",
              err.text);
    while (wait(NULL) > 0) {}
    free(pipe_path);
    free(path);
    remove_folder(folder);
}

/* A text longer than any buffer of a pipe arrives whole. */
Test(file, a_long_text_comes_whole_through_a_pipe, .timeout = 20) {
    int ends[2];
    FileMap map;
    Error err = {""};
    cr_assert(pipe(ends) == 0);
    fflush(NULL);
    if (fork() == 0) {
        FILE *f = fdopen(ends[1], "w");
        close(ends[0]);
        for (int i = 0; i < 200000; i++) fprintf(f, "%07d\n", i);
        fclose(f);
        _exit(0);
    }
    close(ends[1]);
    char *path = format_text("/dev/fd/%d", ends[0]); /* a name as a shell's <(...) makes it */
    ASSERT_OK(file_read_text(&map, path, &err), err);
    cr_assert(map.bytes == 8 * 200000, "%lld", (long long)map.bytes);
    for (int i = 0; i < 200000; i++)
        cr_assert(atoi((const char *)map.data + 8 * (int64_t)i) == i, "line %d", i);
    file_unmap(&map);
    free(path);
}

/* Nothing is waited for: neither a pipe without a writer nor a device without an end. */
Test(file, folders_pipes_and_devices_are_refused_by_name, .timeout = 20) {
    char *folder = temporary_folder(), *pipe_path = format_text("%s/9.png", folder);
    FileMap map;
    Error err = {""};
    cr_assert(mkfifo(pipe_path, 0600) == 0);
    const struct {
        const char *path, *word;
    } inputs[] = {{pipe_path, "pipe"},
                  {folder, "folder"},
                  {"/dev/null", "device"},
                  {"/dev/zero", "device"},
                  {"-", "standard input"}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        cr_expect(file_map(&map, inputs[i].path, &err) == ERR_IO &&
                      strstr(err.text, inputs[i].word) && strstr(err.text, "regular file"),
                  "%s", err.text);
        if (strcmp(inputs[i].path, "-") == 0) continue;
        cr_expect(file_read_text(&map, inputs[i].path, &err) == ERR_IO &&
                      strstr(err.text, inputs[i].word),
                  "%s", err.text);
    }
    cr_expect(file_read_text(&map, pipe_path, &err) == ERR_IO && strstr(err.text, "nobody writes"),
              "%s", err.text);
    cr_expect(map.data == NULL && map.bytes == 0);
    free(pipe_path);
    remove_folder(folder);
}

/* --- where outputs go -------------------------------------------------------------------------- */

static bool is_link(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
}

/* A link stays, and its target is replaced, or made. Links may form chains, be relative or
 * absolute, lead into other folders and through folders that are links. */
Test(file, a_link_is_followed) {
    char *folder = temporary_folder(), *real = format_text("%s/real", folder);
    char *target = format_text("%s/real/p.csv", folder), *link = format_text("%s/l", folder);
    char *second = format_text("%s/l2", folder), *ring = format_text("%s/ring", folder);
    char *through = format_text("%s/folder/p.csv", folder),
         *link_folder = format_text("%s/folder", folder), *fresh = format_text("%s/f", folder);
    char *new_target = format_text("%s/made/new.csv", folder);
    Error err = {""};
    cr_assert(mkdir(real, 0777) == 0 && symlink("real/p.csv", link) == 0);
    cr_assert(symlink(link, second) == 0 && symlink("real", link_folder) == 0);
    cr_assert(symlink("made/new.csv", fresh) == 0 && symlink("ring", ring) == 0);
    const char *const names[] = {link, second, through, target};
    for (int i = 0; i < 4; i++) { /* the first finds no target */
        char text[32];
        snprintf(text, sizeof text, "text %d", i);
        ASSERT_OK(file_write_text(names[i], text, &err), err);
        strcat(text, "\n");
        expect_text(target, text);
    }
    ASSERT_OK(file_write_text(fresh, "new", &err), err);
    expect_text(new_target, "new\n");
    cr_expect(is_link(link) && is_link(second) && is_link(link_folder) && is_link(fresh));
    cr_expect(file_write_text(ring, "x", &err) == ERR_IO && strstr(err.text, "circle"), "%s",
              err.text);
    cr_expect(count_files(folder, "") == 2, "temporary files are left");
    free(new_target), free(fresh), free(link_folder), free(through), free(ring);
    free(second), free(link), free(target), free(real);
    remove_folder(folder);
}

Test(file, the_mode_of_a_replaced_file_stays) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    static const mode_t modes[] = {0600, 0644, 0664, 0666, 0755, 02664, 0200};
    struct stat s;
    Error err = {""};
    umask(077);
    ASSERT_OK(file_write_text(path, "new", &err), err);
    cr_expect(stat(path, &s) == 0 && (s.st_mode & 07777) == 0600, "a new file obeys the umask");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        cr_assert(chmod(path, modes[i]) == 0);
        ASSERT_OK(file_write_text(path, "again", &err), err);
        cr_expect(stat(path, &s) == 0 && (s.st_mode & 07777) == modes[i], "%o became %o",
                  (unsigned)modes[i], (unsigned)s.st_mode & 07777);
    }
    cr_assert(chmod(path, 0444) == 0); /* even root is told */
    cr_expect(file_check_output(path, &err) == ERR_IO && strstr(err.text, "read-only"), "%s",
              err.text);
    cr_expect(file_write_text(path, "x", &err) == ERR_IO && strstr(err.text, "read-only"), "%s",
              err.text);
    expect_text(path, "again\n");
    free(path);
    remove_folder(folder);
}

Test(file, pipes_and_devices_are_written_to_directly, .timeout = 20) {
    char *folder = temporary_folder(), *pipe_path = format_text("%s/pipe", folder);
    char *got = format_text("%s/got", folder), *link = format_text("%s/link", folder), *command;
    Error err = {""};
    struct stat s;
    signal(SIGPIPE, SIG_IGN);
    cr_assert(mkfifo(pipe_path, 0600) == 0 && symlink("pipe", link) == 0);
    const char *const names[] = {pipe_path, link};
    for (int i = 0; i < 4; i++) { /* the second reader of each is late */
        command = format_text("sleep 0.%d; cat %s > %s", 3 * (i % 2), pipe_path, got);
        beside(command);
        ASSERT_OK(file_write_text(names[i / 2], "through", &err), err);
        while (wait(NULL) > 0) {}
        expect_text(got, "through\n");
        cr_expect(stat(pipe_path, &s) == 0 && S_ISFIFO(s.st_mode), "the pipe is none any more");
        free(command);
    }
    cr_expect(file_check_output(pipe_path, &err) == OK &&
              file_check_output("/dev/null", &err) == OK);
    ASSERT_OK(file_write_text("/dev/null", "nobody", &err), err);
    cr_expect(file_write_text("/dev/full", "x", &err) == ERR_IO && strstr(err.text, "space"), "%s",
              err.text);
    cr_expect(file_write_text(pipe_path, "x", &err) == ERR_IO && strstr(err.text, "nobody reads"),
              "%s", err.text);
    cr_expect(stat("/dev/null", &s) == 0 && S_ISCHR(s.st_mode));

    AtomicFile file; /* a reader that leaves early */
    command = format_text("head -c 1 %s > %s", pipe_path, got);
    beside(command);
    ASSERT_OK(atomic_open(&file, pipe_path, &err), err);
    for (int i = 0; i < 300000; i++) fputs("more than a pipe holds\n", file.stream);
    cr_expect(atomic_commit(&file, &err) == ERR_IO && strstr(err.text, "could not be written"),
              "%s", err.text);
    while (wait(NULL) > 0) {}
    cr_expect(count_files(folder, "tmp") == 0);
    free(command), free(link), free(got), free(pipe_path);
    remove_folder(folder);
}

/* An open descriptor is written to at its position, and never replaced by name. */
Test(file, descriptors_are_written_to_where_they_stand) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    Error err = {""};
    FILE *f = fopen(path, "wb");
    cr_assert(f && fputs("first\n", f) >= 0 && fflush(f) == 0);
    static const char *const names[] = {"/dev/fd/", "/proc/self/fd/"};
    for (int i = 0; i < 2; i++) {
        char *name = format_text("%s%d", names[i], fileno(f));
        ASSERT_OK(file_write_text(name, "second", &err), err);
        free(name);
    }
    fputs("third\n", f);
    fclose(f);
    expect_text(path, "first\nsecond\nsecond\nthird\n");
    cr_expect(file_is_stdout("-") && file_is_stdout("/dev/stdout") && file_is_stdout("/dev/fd/1"));
    cr_expect(!file_is_stdout("/dev/stderr") && !file_is_stdout(path) && !file_is_stdout("./-"));
    cr_expect(file_write_text("/dev/fd/987", "x", &err) == ERR_IO);
    free(path);
    remove_folder(folder);
}

Test(file, targets_that_cannot_be_are_refused_before_the_work) {
    char *folder = temporary_folder(), *path = format_text("%s/x", folder), long_name[5000];
    char *below = format_text("%s/x/y", folder), *slash = format_text("%s/z/", folder);
    char *longest = format_text("%s/%0250d", folder, 7),
         *beyond = format_text("%s/%0256d", folder, 7);
    Error err = {""};
    ASSERT_OK(file_write_text(path, "a file", &err), err);
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        const char *path, *word;
    } targets[] = {{folder, "folder"}, {slash, "folder"},         {below, "directory"},
                   {"", "empty"},      {beyond, "name too long"}, {long_name, "name too long"}};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        cr_expect(file_check_output(targets[i].path, &err) == ERR_IO, "%s", targets[i].path);
        cr_expect(file_write_text(targets[i].path, "x", &err) == ERR_IO &&
                      strcasestr(err.text, targets[i].word),
                  "%zu: %s", i, err.text);
    }
    ASSERT_OK(file_check_output(longest, &err), err); /* its temporary has a shorter name */
    ASSERT_OK(file_write_text(longest, "x", &err), err);
    expect_text(longest, "x\n");
    free(beyond), free(longest), free(slash), free(below), free(path);
    remove_folder(folder);
}
