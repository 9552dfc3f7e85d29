/* table_text.c - the table for people, for spreadsheets and for programs. */
#include <math.h>
#include <stdlib.h>

#include "host/table/table.h"
#include "host/tell/common.h"
#include "host/tell/lines.h"

static const char *const titles[TABLE_METHODS] = {"TURTLE, one space", "TURTLE, two spaces",
                                                  "k-means", "Linear probe", "Zero-shot"};

/* Writes "83.1 (82.9)": ours, and the paper's in brackets. Returns `text`. */
static const char *cell_text(char text[32], const TurtleTableCell *c) {
    char ours[12] = "-", theirs[12] = "-";
    if (!isnan(c->accuracy)) snprintf(ours, sizeof ours, "%.1f", 100.0 * c->accuracy);
    if (!isnan(c->paper)) snprintf(theirs, sizeof theirs, "%.1f", 100.0 * c->paper);
    snprintf(text, 32, "%s (%s)", ours, theirs);
    return text;
}

static void add_method(char **text, const TableCall *call, int m) {
    if (m == TABLE_TWO)
        add_line(text, "\n### %s, the second is %s\n\n", titles[m],
                 call->partner ? call->partner : "-");
    else add_line(text, "\n### %s\n\n", titles[m]);
    add_line(text, "| data set |");
    for (int p = 0; p < call->phis.count; p++) add_line(text, " %s |", call->phis.item[p]);
    add_line(text, "\n|---|");
    for (int p = 0; p < call->phis.count; p++) add_line(text, "---|");
    add_line(text, "\n");
    for (int d = 0; d < call->datasets.count; d++) {
        add_line(text, "| %s |", call->datasets.item[d]);
        for (int p = 0; p < call->phis.count; p++) {
            char cell[32];
            add_line(text, " %s |",
                     table_has(call, m, p) ? cell_text(cell, table_cell(call, m, d, p)) : "");
        }
        add_line(text, "\n");
    }
}

char *table_markdown(const TableCall *call) {
    char *text = NULL;
    add_line(&text, "Accuracy in per cent, in brackets the paper's; - is not known.\n");
    for (int m = 0; m < TABLE_METHODS; m++) add_method(&text, call, m);
    const TurtleTableResult *r = call->result;
    bool first = true;
    for (int64_t i = 0; i < r->cells; i++) {
        const TurtleTableCell *c = &r->cell[i];
        if (!c->failed) continue;
        add_line(&text, "%s- %s, %s%s%s, %s: %.700s\n", first ? "\nWithout a result:\n\n" : "",
                 c->dataset, c->phi, c->partner ? " " : "", c->partner ? c->partner : "", c->method,
                 c->failed);
        first = false;
    }
    return text;
}

static void csv_number(char **text, double value) {
    if (isnan(value)) add_line(text, ",");
    else add_line(text, ",%.10g", value);
}

char *table_csv(const TableCall *call) {
    char *text = NULL;
    add_line(&text, "dataset,method,phi,partner,accuracy,paper,seconds\n");
    for (int64_t i = 0; i < call->result->cells; i++) {
        const TurtleTableCell *c = &call->result->cell[i];
        if (!c->dataset) continue;
        add_line(&text, "%s,%s,%s,%s", c->dataset, c->method, c->phi, c->partner ? c->partner : "");
        csv_number(&text, c->accuracy);
        csv_number(&text, c->paper);
        csv_number(&text, c->seconds);
        add_line(&text, "\n");
    }
    return text;
}

char *table_json(const TableCall *call) {
    const TurtleTableResult *r = call->result;
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "table", &call->options->common, call->options->common.device,
                precision_used(&call->options->common));
    json_real(&j, "seconds", r->seconds);
    json_integer(&j, "run", r->run);
    json_integer(&j, "kept", r->kept);
    json_integer(&j, "failed", r->failed);
    json_open_array(&j, "cells");
    for (int64_t i = 0; i < r->cells; i++) {
        const TurtleTableCell *c = &r->cell[i];
        if (!c->dataset || (isnan(c->accuracy) && isnan(c->paper) && !c->failed)) continue;
        json_open(&j, NULL);
        json_text(&j, "dataset", c->dataset);
        json_text(&j, "method", c->method);
        json_text(&j, "phi", c->phi);
        json_text(&j, "partner", c->partner);
        json_real(&j, "accuracy", c->accuracy);
        json_real(&j, "paper", c->paper);
        json_real(&j, "seconds", c->seconds);
        json_bool(&j, "kept", c->kept);
        json_text(&j, "failed", c->failed);
        json_close(&j);
    }
    json_close_array(&j);
    json_close(&j);
    return json_take(&j);
}
