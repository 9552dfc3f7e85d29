/* train_report_test.c - `train --report`: the page of a run, made when the run ends. */
#include "io/text/json_reader.h"
#include "tests/support/check.h"

#define TRAIN "train " DEMO_TRAIN " " DEMO_VAL " --classes 10 --T 3 --device cpu --quiet --report"

static bool begins_a_page(const char *path) {
    char text[64];
    read_text(text, sizeof text, path);
    return strncasecmp(text, "<!doctype html>", 15) == 0;
}

Test(train_report, leaves_a_page_in_the_run_directory_and_tells_its_path, .timeout = 60) {
    static Ran ran;
    char *folder = temporary_folder(), *page = format_text("%s/run/report.html", folder);
    char *last = format_text("\nreport           %s\n", page);
    run_turtle(&ran, TRAIN " --out %s/run", folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(begins_a_page(page), "%s", page);
    const size_t n = strlen(ran.out), m = strlen(last);
    cr_expect(n > m && strcmp(ran.out + n - m, last) == 0, "%s", ran.out);
    free(page), free(last);
    remove_folder(folder);
}

Test(train_report, is_a_member_of_the_object, .timeout = 60) {
    static Ran ran;
    char *folder = temporary_folder(), *page = format_text("%s/a \"b\"/report.html", folder);
    char key[64], path[4096] = "";
    run_turtle(&ran, TRAIN " --out '%s/a \"b\"' --json", folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    JsonReader r = json_reader((const uint8_t *)ran.out, (int64_t)strlen(ran.out));
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key))
        if (strcmp(key, "report") == 0) json_text_value(&r, path, sizeof path);
        else json_skip(&r);
    cr_expect(json_finished(&r), "no object: %s", ran.out);
    cr_expect_str_eq(path, page);
    cr_expect(begins_a_page(path));
    free(page);
    remove_folder(folder);
}

/* The run stands when its page cannot be written, and the call says so. */
Test(train_report, a_page_that_cannot_be_written_is_one_line, .timeout = 60) {
    static Ran ran;
    char *folder = temporary_folder(), *page = format_text("%s/run/report.html", folder);
    char *run_json = format_text("%s/run/run.json", folder);
    Error err;
    ASSERT_OK(folder_make(page, &err), err);
    run_turtle(&ran, TRAIN " --out %s/run", folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "report.html: is a folder") &&
                  strchr(ran.err, '\n') == strrchr(ran.err, '\n'),
              "%d: %s", ran.status, ran.err);
    cr_expect(strstr(ran.out, "Number of found clusters") && !strstr(ran.out, "\nreport "));
    cr_expect(file_exists(run_json));
    run_turtle(&ran, TRAIN " --out %s/run --json", folder);
    cr_expect(ran.status == 1 && strncmp(ran.out, "{\"error\": ", 10) == 0 &&
                  strchr(ran.out, '\n') == ran.out + strlen(ran.out) - 1,
              "%s", ran.out);
    free(page), free(run_json);
    remove_folder(folder);
}
