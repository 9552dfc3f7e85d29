/* sort.c - turtle_sort: the pictures of a run into folders by cluster. */
#include "host/sort/sort.h"

#include <stdlib.h>
#include <string.h>

#include "host/sort/place.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "io/text/printable.h"

void turtle_sort_defaults(TurtleSortOptions *o) {
    *o = (TurtleSortOptions){.common = common_defaults(), .how = "link"};
}

void turtle_sort_result_free(TurtleSortResult *r) {
    if (!r) return;
    free(r->into);
    free(r->json);
    *r = (TurtleSortResult){0};
}

static Status check_options(const TurtleSortOptions *o, Error *err) {
    if (!o->run || !o->into) return fail(err, ERR_USAGE, "sort: expected --run DIR and --into DIR");
    if (!o->how || (strcmp(o->how, "link") != 0 && strcmp(o->how, "symlink") != 0 &&
                    strcmp(o->how, "copy") != 0))
        return fail(err, ERR_USAGE, "sort: expected link, symlink or copy, got '%s'",
                    o->how ? o->how : "nothing");
    if (!(o->min_confidence >= 0.0 && o->min_confidence <= 1.0))
        return fail(err, ERR_USAGE, "sort: --min_confidence %g: expected 0 to 1",
                    o->min_confidence);
    return OK;
}

static char *sort_json(const TurtleSortOptions *o, const SortPlan *plan,
                       const TurtleSortResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "sort", &o->common, "cpu", "fp32");
    json_real(&j, "seconds", r->seconds);
    json_text(&j, "into", r->into);
    json_text(&j, "how", o->how);
    json_integer(&j, "samples", r->samples);
    json_integer(&j, "placed", r->placed);
    json_integer(&j, "there", r->there);
    json_integer(&j, "left_out", r->left_out);
    json_integer(&j, "doubtful", r->doubtful);
    json_integer(&j, "clashes", r->clashes);
    json_integer(&j, "strangers", r->strangers);
    json_open_array(&j, "folders");
    for (int64_t f = 0; f < plan->folders; f++) {
        json_open(&j, NULL);
        json_text(&j, "folder", plan->folder[f].name);
        json_text(&j, "name", plan->folder[f].label);
        json_integer(&j, "files", plan->folder[f].wanted);
        json_close(&j);
    }
    json_close_array(&j);
    json_close(&j);
    return json_take(&j);
}

/* Says what is wrong at the end of a call that placed all it could. */
static Status verdict(const SortPlace *p, Error *err) {
    const long long missing = p->count[SORT_MISSING], in_the_way = p->count[SORT_IN_THE_WAY];
    if (!missing && !in_the_way) return OK;
    char *first = printable_copy(p->first.text, false);
    const Status st =
        fail(err, ERR_IO,
             "sort: %lld of %lld pictures could not be read, and %lld have no place; all others "
             "are in %s. The first: %s",
             missing, (long long)p->plan->n, in_the_way, p->into, first ? first : "unknown");
    free(first);
    return st;
}

static Status place_plan(SortPlan *plan, TurtleSortResult *out, Error *err) {
    SortPlace place;
    Status st = sort_place_open(&place, plan, err);
    if (st == OK) st = sort_place_all(&place, err);
    if (st == OK) st = sort_tables_write(&place, err);
    if (st == OK) st = sort_place_finish(&place, err);
    if (st == OK) st = verdict(&place, err);
    if (st == OK) {
        out->samples = plan->n;
        out->placed = place.count[SORT_PLACED];
        out->there = place.count[SORT_THERE];
        out->left_out = plan->left_out;
        out->doubtful = plan->doubtful;
        out->clashes = plan->clashes;
        out->strangers = place.strangers;
        for (int64_t f = 0; f < plan->folders; f++) out->folders += plan->folder[f].wanted > 0;
        out->into = strdup(place.into);
        if (out->strangers)
            notice(&plan->options->common.hooks,
                   "sort: the folders hold %lld files that are no picture of this run",
                   (long long)out->strangers);
    }
    sort_place_close(&place);
    return st;
}

Status turtle_sort(const TurtleSortOptions *o, TurtleSortResult *out, Error *err) {
    PLAIN_LOCALE;
    const double started = now_seconds();
    SortPlan plan = {.options = o};
    *out = (TurtleSortResult){0};
    Status st = check_options(o, err);
    if (st == OK) st = sort_run_read(&plan.run, o->run, err);
    if (st == OK && o->cluster_names)
        st = cluster_names_read(o->cluster_names, plan.run.classes, &plan.names, err);
    else if (st == OK) st = cluster_names_numbers(plan.run.classes, &plan.names, err);
    if (st == OK) st = sort_plan(&plan, err);
    if (st == OK) st = place_plan(&plan, out, err);
    if (st == OK) {
        out->seconds = now_seconds() - started;
        out->json = sort_json(o, &plan, out);
        if (!out->json || !out->into) st = fail(err, ERR_MEMORY, "sort: out of memory");
    }
    sort_plan_free(&plan);
    if (st != OK) turtle_sort_result_free(out);
    return st;
}
