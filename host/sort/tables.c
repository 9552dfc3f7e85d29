/* tables.c - tables beside the folders: a manifest, labels as CSV, and tasks for Label Studio. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/sort/place.h"

/* A table being written under the temporary name. */
typedef struct {
    SortPlace *place;
    FILE *stream;
} Table;

static Status table_open(Table *t, SortPlace *p, Error *err) {
    unlink(p->temporary);
    *t = (Table){p, fopen(p->temporary, "wbx")};
    return t->stream ? OK
                     : fail(err, ERR_IO, "sort: %s: could not be written: %s", p->temporary,
                            strerror(errno));
}

/* Closes the table and gives it its name. */
static Status table_close(Table *t, const char *name, Error *err) {
    errno = 0;
    bool good = fflush(t->stream) == 0 && !ferror(t->stream);
    const int why = errno;
    good = fclose(t->stream) == 0 && good;
    if (good) return sort_place_table(t->place, name, err);
    unlink(t->place->temporary);
    return fail(err, ERR_IO,
                "sort: %s/%s: could not be written: %s: the same call goes on once that is mended",
                t->place->into, name, strerror(why ? why : errno));
}

static bool is_placed(const SortItem *item) {
    return item->state == SORT_PLACED || item->state == SORT_THERE;
}

/* Writes one CSV field (RFC 4180), quoted where it must be. */
static void put_field(FILE *f, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

/* Writes "folder/file" as one field; neither holds a slash. */
static Status put_place(FILE *f, const SortPlan *plan, const SortItem *item, Error *err) {
    char *place = format_text("%s/%s", plan->folder[item->folder].name, sort_file_name(item));
    if (!place) return fail(err, ERR_MEMORY, "sort: out of memory");
    put_field(f, place);
    free(place);
    return OK;
}

/* Writes every sample: path,cluster,name,confidence,margin,file. The file is empty where none was placed. */
static Status write_manifest(SortPlace *p, Error *err) {
    const SortPlan *plan = p->plan;
    Table t;
    Status st = table_open(&t, p, err);
    if (st != OK) return st;
    fputs("path,cluster,name,confidence,margin,file\n", t.stream);
    for (int64_t i = 0; st == OK && i < plan->n; i++) {
        const SortItem *item = &plan->item[i];
        put_field(t.stream, item->source);
        fprintf(t.stream, ",%d,", (int)item->cluster);
        put_field(t.stream, plan->names.name[item->cluster]);
        fprintf(t.stream, ",%.6g,%.6g,", (double)item->confidence, (double)item->margin);
        if (is_placed(item)) st = put_place(t.stream, plan, item, err);
        fputc('\n', t.stream);
    }
    if (st != OK) {
        fclose(t.stream);
        return st;
    }
    return table_close(&t, "manifest.csv", err);
}

/* Writes path,label of the files in named folders, relative to the folder of this table. */
static Status write_labels(SortPlace *p, Error *err) {
    const SortPlan *plan = p->plan;
    Table t;
    Status st = table_open(&t, p, err);
    if (st != OK) return st;
    fputs("path,label\n", t.stream);
    for (int64_t i = 0; st == OK && i < plan->n; i++) {
        const SortItem *item = &plan->item[i];
        if (!is_placed(item) || item->folder == plan->doubtful_folder) continue;
        st = put_place(t.stream, plan, item, err);
        fputc(',', t.stream);
        put_field(t.stream, plan->folder[item->folder].label);
        fputc('\n', t.stream);
    }
    if (st != OK) {
        fclose(t.stream);
        return st;
    }
    return table_close(&t, "labels.csv", err);
}

/* --- Label Studio ------------------------------------------------------------------------------------- */

/* Returns the bytes with all but letters, digits and "-._~/" as %HH (RFC 3986), in fresh memory. */
static char *percent_encoded(const char *text) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    char *out = malloc(3 * strlen(text) + 1), *to = out;
    for (; out && *text; text++)
        if (strchr(plain, *text)) *to++ = *text;
        else to += snprintf(to, 4, "%%%02X", (unsigned)(uint8_t)*text);
    if (out) *to = '\0';
    return out;
}

/* Returns one task: the picture as local storage serves it, and the cluster as a prediction. */
static char *task_json(const SortPlace *p, const SortItem *item) {
    const SortPlan *plan = p->plan;
    const char *slash = strrchr(p->into, '/'), *base = slash ? slash + 1 : p->into;
    char *place = format_text("%s%s%s/%s", base, *base ? "/" : "", plan->folder[item->folder].name,
                              sort_file_name(item));
    char *encoded = place ? percent_encoded(place) : NULL;
    char *url = encoded ? format_text("/data/local-files/?d=%s", encoded) : NULL;
    Json j = {0};
    json_open(&j, NULL);
    json_open(&j, "data");
    json_text(&j, "image", url);
    json_text(&j, "path", item->source);
    json_close(&j);
    json_open_array(&j, "predictions");
    json_open(&j, NULL);
    json_text(&j, "model_version", "turtle");
    json_real(&j, "score", (double)item->confidence);
    json_open_array(&j, "result");
    json_open(&j, NULL);
    json_text(&j, "from_name", "cluster");
    json_text(&j, "to_name", "image");
    json_text(&j, "type", "choices");
    json_open(&j, "value");
    json_open_array(&j, "choices");
    json_text(&j, NULL, plan->names.name[item->cluster]);
    json_close_array(&j);
    json_close(&j);
    json_close(&j);
    json_close_array(&j);
    json_close(&j);
    json_close_array(&j);
    json_close(&j);
    const bool whole = url != NULL;
    free(place), free(encoded), free(url);
    char *text = json_take(&j);
    if (whole) return text;
    free(text);
    return NULL;
}

static Status write_tasks(SortPlace *p, Error *err) {
    const SortPlan *plan = p->plan;
    Table t;
    Status st = table_open(&t, p, err);
    if (st != OK) return st;
    const char *before = "[\n";
    for (int64_t i = 0; st == OK && i < plan->n; i++) {
        if (!is_placed(&plan->item[i])) continue;
        char *task = task_json(p, &plan->item[i]);
        if (!task) st = fail(err, ERR_MEMORY, "sort: out of memory");
        else fprintf(t.stream, "%s%s", before, task);
        before = ",\n";
        free(task);
    }
    fputs(*before == '[' ? "[]\n" : "\n]\n", t.stream);
    if (st != OK) {
        fclose(t.stream);
        return st;
    }
    return table_close(&t, "label_studio.json", err);
}

/* Writes text as the value of an XML attribute. */
static void put_attribute(FILE *f, const char *text) {
    for (; *text; text++) switch (*text) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*text, f);
        }
}

/* Writes the labelling interface that the tasks' predictions fit: one choice for every name. */
static Status write_interface(SortPlace *p, Error *err) {
    const SortPlan *plan = p->plan;
    Table t;
    const Status st = table_open(&t, p, err);
    if (st != OK) return st;
    fputs("<View>\n  <Image name=\"image\" value=\"$image\"/>\n"
          "  <Choices name=\"cluster\" toName=\"image\" choice=\"single\">\n",
          t.stream);
    for (int64_t f = 0; f < plan->folders; f++) {
        if (!plan->folder[f].label) continue;
        fputs("    <Choice value=\"", t.stream);
        put_attribute(t.stream, plan->folder[f].label);
        fputs("\"/>\n", t.stream);
    }
    fputs("  </Choices>\n</View>\n", t.stream);
    return table_close(&t, "label_studio.xml", err);
}

Status sort_tables_write(SortPlace *p, Error *err) {
    Status st = write_manifest(p, err);
    if (st == OK) st = write_labels(p, err);
    if (st == OK) st = write_tasks(p, err);
    return st == OK ? write_interface(p, err) : st;
}
