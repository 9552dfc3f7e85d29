/* sweep_grid.c - the runs that the lists of a sweep stand for. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/sweep/sweep.h"
#include "host/tell/json.h"

enum { MOST_RUNS = 100000 };

/* --- lists ------------------------------------------------------------------------------------ */

/* One of the six lists, as numbers. */
typedef struct {
    double *value; /* whole ones up to 2^53 are exact */
    int64_t count, room;
    double largest; /* of the values; ranges rise, so most values need no search */
} List;

static Status too_many(const char *flag, Error *err) {
    return fail(err, ERR_USAGE, "--%s: more than %d values: shorten the list", flag, MOST_RUNS);
}

static Status add(List *list, double x, const char *flag, Error *err) {
    if (list->count && x <= list->largest)
        for (int64_t i = 0; i < list->count; i++)
            if (list->value[i] == x) return OK; /* given twice: one run */
    if (list->count == MOST_RUNS) return too_many(flag, err);
    if (list->count == list->room) {
        const int64_t room = list->room ? 2 * list->room : 16;
        double *longer = realloc(list->value, (size_t)room * sizeof *longer);
        if (!longer) return fail(err, ERR_MEMORY, "sweep: out of memory");
        list->value = longer;
        list->room = room;
    }
    if (!list->count || x > list->largest) list->largest = x;
    list->value[list->count++] = x;
    return OK;
}

static Status bad_entry(const char *flag, const char *text, const char *expected, Error *err) {
    return fail(err, ERR_USAGE, "--%s: '%s': expected %s", flag, text, expected);
}

/* Reads digits alone, up to 2^53. */
static bool whole(const char **at, int64_t *x) {
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9') return false;
    *x = strtoll(*at, &end, 10);
    *at = end;
    return errno == 0 && *x <= (int64_t)1 << 53;
}

/* Adds "7", "20..50" or "20..50..5". */
static Status add_whole(List *list, const char *text, const char *flag, Error *err) {
    const char *at = text, *const expected = "a whole number, or a range 20..50 or 20..50..5";
    int64_t first, last, step = 1;
    if (!whole(&at, &first)) return bad_entry(flag, text, expected, err);
    last = first;
    if (strncmp(at, "..", 2) == 0) {
        at += 2;
        if (!whole(&at, &last)) return bad_entry(flag, text, expected, err);
        if (strncmp(at, "..", 2) == 0) {
            at += 2;
            if (!whole(&at, &step)) return bad_entry(flag, text, expected, err);
        }
    }
    if (*at || step < 1 || last < first) return bad_entry(flag, text, expected, err);
    if ((last - first) / step >= MOST_RUNS) return too_many(flag, err);
    Status st = OK;
    for (int64_t x = first; st == OK && x <= last; x += step) st = add(list, (double)x, flag, err);
    return st;
}

static Status add_real(List *list, const char *text, const char *flag, bool zero, Error *err) {
    char *end;
    const double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < 0 || (x == 0 && !zero))
        return bad_entry(flag, text, zero ? "a number, 0 or more" : "a positive number", err);
    return add(list, x, flag, err);
}

static Status add_start(List *list, const char *text, Error *err) {
    const bool warm = strcmp(text, "warm") == 0;
    if (!warm && strcmp(text, "cold") != 0) return bad_entry("starts", text, "cold or warm", err);
    return add(list, warm, "starts", err);
}

typedef enum { CLASSES, STARTS, INNER, OUTER, GAMMA, SEEDS, LISTS } ListName;

static Status parse_list(List *list, ListName name, const TurtleTexts *texts, Error *err) {
    static const char *const flags[LISTS] = {"classes",  "starts", "inner_lr",
                                             "outer_lr", "gamma",  "seeds"};
    Status st = OK;
    for (int i = 0; st == OK && i < texts->count; i++) {
        const char *text = texts->item[i];
        if (name == CLASSES || name == SEEDS) st = add_whole(list, text, flags[name], err);
        else if (name == STARTS) st = add_start(list, text, err);
        else st = add_real(list, text, flags[name], name == GAMMA, err);
    }
    return st;
}

/* --- the grid --------------------------------------------------------------------------------- */

static Status parse_lists(List list[LISTS], const TurtleSweepOptions *o, int64_t known_classes,
                          Error *err) {
    const char *const seeds[] = {"42..44"}, *const cold[] = {"cold"}, *const rate[] = {"0.001"},
                      *const ten[] = {"10"};
    char own[24];
    const char *known[] = {own};
    snprintf(own, sizeof own, "%lld", (long long)known_classes);
    const struct {
        const TurtleTexts *given;
        const char *const *otherwise;
    } lists[LISTS] = {{&o->classes, known}, {&o->starts, cold}, {&o->inner_lr, rate},
                      {&o->outer_lr, rate}, {&o->gamma, ten},   {&o->seeds, seeds}};
    if (!o->classes.count && known_classes < 1)
        return fail(err, ERR_USAGE,
                    "sweep: the number of classes is not known: give --classes C, or several: "
                    "--classes 2..50");
    Status st = OK;
    for (int i = 0; st == OK && i < LISTS; i++) {
        const TurtleTexts one = {.item = (const char **)lists[i].otherwise, .count = 1};
        st = parse_list(&list[i], (ListName)i, lists[i].given->count ? lists[i].given : &one, err);
    }
    return st;
}

static void name_run(TurtleSweepRun *run) {
    char inner[REAL_TEXT], outer[REAL_TEXT], gamma[REAL_TEXT];
    snprintf(run->name, sizeof run->name, "C%lld_%sstart_innerlr%s_outerlr%s_gamma%s_seed%llu",
             (long long)run->classes, run->warm_start ? "warm" : "cold",
             format_real(inner, run->inner_lr), format_real(outer, run->outer_lr),
             format_real(gamma, run->gamma), (unsigned long long)run->seed);
}

Status sweep_grid(TurtleSweepRun **runs, int64_t *count, const TurtleSweepOptions *o,
                  int64_t known_classes, Error *err) {
    List list[LISTS] = {{0}};
    *runs = NULL;
    *count = 1;
    Status st = parse_lists(list, o, known_classes, err);
    for (int i = 0; st == OK && i < LISTS; i++) {
        *count *= list[i].count;
        if (*count > MOST_RUNS)
            st = fail(err, ERR_USAGE, "sweep: more than %d runs: shorten a list", MOST_RUNS);
    }
    if (st == OK) {
        *runs = calloc((size_t)*count, sizeof **runs);
        if (!*runs) st = fail(err, ERR_MEMORY, "sweep: out of memory");
    }
    for (int64_t r = 0; st == OK && r < *count; r++) {
        double value[LISTS];
        int64_t rest = r;
        for (int i = LISTS - 1; i >= 0; i--) {
            value[i] = list[i].value[rest % list[i].count];
            rest /= list[i].count;
        }
        TurtleSweepRun *run = &(*runs)[r];
        *run = (TurtleSweepRun){.classes = (int64_t)value[CLASSES],
                                .warm_start = value[STARTS] != 0,
                                .inner_lr = value[INNER],
                                .outer_lr = value[OUTER],
                                .gamma = value[GAMMA],
                                .seed = (uint64_t)value[SEEDS]};
        name_run(run);
    }
    for (int i = 0; i < LISTS; i++) free(list[i].value);
    return st;
}
