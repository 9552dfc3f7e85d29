/* file_test.c - files appear whole or not at all. */
#include <signal.h>

#include "check.h"

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

/* A full disk, which a file size limit stands for: the old file stays, nothing else does. */
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

/* Four processes, a hundred lines each: every line whole. */
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
