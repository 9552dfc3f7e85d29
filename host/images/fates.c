/* fates.c - what a call understood of its images, and the fate of every file. */
#include "host/images/fates.h"

#include <stdlib.h>
#include <string.h>

#include "host/tell/notify.h"
#include "io/text/text_lines.h"

/* --- notices ---------------------------------------------------------------------------------- */

/* Returns how many classes have an image. */
static int64_t classes_that_occur(const SourceList *list) {
    bool *seen = calloc((size_t)list->classes + 1, sizeof *seen);
    int64_t found = 0;
    for (int64_t i = 0; seen && i < list->count; i++) {
        const int64_t label = list->source[i].label;
        if (label < 0) continue;
        found += !seen[label];
        seen[label] = true;
    }
    free(seen);
    return found;
}

static int64_t left_of_split(const LeftOut *left, int split) {
    int64_t files = 0;
    for (int64_t i = 0; i < left->count; i++)
        files += left->entry[i].split == split && !left->entry[i].folder;
    return files;
}

/* Writes "train 20 images of 2 classes". */
static void split_text(char *text, size_t bytes, const SourceList *list, const char *name,
                       const char *word) {
    char classes[64] = " without labels";
    const int64_t found = classes_that_occur(list);
    if (found)
        snprintf(classes, sizeof classes, " of %lld class%s", (long long)found,
                 found == 1 ? "" : "es");
    const bool other = word && strcmp(word, name) != 0;
    snprintf(text, bytes, "%s%s%s%s %lld image%s%s", name, other ? " (" : "", other ? word : "",
             other ? ")" : "", (long long)list->count, list->count == 1 ? "" : "s", classes);
}

void fates_tell(const ImageInputs *in, const TurtleHooks *hooks) {
    const SourceSplits *s = &in->splits;
    char train[128] = "", val[128] = "", left[64] = "", line[960];
    if (!hooks->notice) return;
    if (s->train.count) split_text(train, sizeof train, &s->train, "train", NULL);
    if (s->val.count) split_text(val, sizeof val, &s->val, "val", s->val_word);
    if (s->left.files)
        snprintf(left, sizeof left, "; left out %lld file%s", (long long)s->left.files,
                 s->left.files == 1 ? "" : "s");
    notice(hooks, "images: %s: %s%s%s%s", in->from, train, *train && *val ? ", " : "", val, left);
    for (const char *at = s->notes; at && *at; at = strchr(at, '\n') + 1)
        notice(hooks, "images: %.*s", (int)strcspn(at, "\n"), at);
    for (int i = 0; i < s->left.reasons; i++)
        notice(hooks, "images: %s", left_out_line(line, sizeof line, &s->left, i, in->from));
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void split_json(Json *j, const SourceSplits *s, int split) {
    const SourceList *list = split ? &s->val : &s->train;
    if (split && !list->count) return;
    json_open(j, NULL);
    json_text(j, "split", split ? "val" : "train");
    json_integer(j, "images", list->count);
    json_integer(j, "classes", classes_that_occur(list));
    json_integer(j, "left_out", left_of_split(&s->left, split));
    json_close(j);
}

void fates_json(Json *j, const ImageInputs *in) {
    const LeftOut *left = &in->splits.left;
    char why[96];
    json_open_array(j, "splits");
    split_json(j, &in->splits, 0);
    split_json(j, &in->splits, 1);
    json_close_array(j);
    json_open_array(j, "left_out");
    for (int i = 0; i < left->reasons; i++) {
        const LeftReason *r = &left->reason[i];
        json_open(j, NULL);
        json_text(j, "why", left_out_why(why, sizeof why, r));
        json_integer(j, "files", r->files);
        json_integer(j, "folders", r->folders);
        json_text(j, "first", left->entry[r->first].path);
        json_close(j);
    }
    json_close_array(j);
}

/* --- the file of fates ------------------------------------------------------------------------ */

/* Writes a column, which must not end the column or the line. */
static void write_text(FILE *f, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c == '\\') fputs("\\\\", f);
        else if (*c == '\n') fputs("\\n", f);
        else if (*c == '\r') fputs("\\r", f);
        else if (*c == '\t') fputs("\\t", f);
        else fputc(*c, f);
    }
}

static void write_source(FILE *f, const SourceList *list, int64_t i, const char *split,
                         const char *why) {
    const Source *s = &list->source[i];
    fprintf(f, "%s\t%s\t", why ? "left_out" : "used", split);
    if (s->label >= 0) fprintf(f, "%lld\t", (long long)s->label);
    else fputs("-\t", f);
    if (s->label >= 0 && list->class_name) write_text(f, list->class_name[s->label]);
    fputc('\t', f);
    if (list->place && *list->place) {
        write_text(f, list->place);
        fputc('/', f);
    }
    write_text(f, s->name);
    fputc('\t', f);
    if (why) write_text(f, why);
    fputc('\n', f);
}

/* Returns the next line that is not blank, or NULL. */
static const char *next_text(TextLines *t) {
    TextLine line;
    while (t->path && text_lines_next(t, &line))
        if (!line.blank) return line.text;
    return NULL;
}

/* Writes a split. Both lists are in the order of the sources: <stem>.txt has those that were used,
 * and <stem>.skipped.txt a reason for each of the others. */
static Status write_split(FILE *f, const FateSplit *s, Error *err) {
    TextLines used = {0}, skipped = {0};
    char *used_path = s->stem ? format_text("%s.txt", s->stem) : NULL,
         *skipped_path = s->stem ? format_text("%s.skipped.txt", s->stem) : NULL;
    Status st = OK;
    if (s->stem && (!used_path || !skipped_path))
        st = fail(err, ERR_MEMORY, "images: out of memory");
    if (st == OK && s->stem) st = text_lines_open(&used, "images", used_path, err);
    if (st == OK && s->stem && file_exists(skipped_path))
        st = text_lines_open(&skipped, "images", skipped_path, err);
    const char *name = st == OK ? next_text(&used) : NULL;
    for (int64_t i = s->first; st == OK && i < s->end; i++) {
        if (!s->stem || (name && strcmp(name, s->list->source[i].name) == 0)) {
            write_source(f, s->list, i, s->split, NULL);
            if (s->stem) name = next_text(&used);
        } else {
            const char *why = next_text(&skipped);
            write_source(f, s->list, i, s->split, why ? why : "it could not be decoded");
        }
    }
    text_lines_close(&used);
    text_lines_close(&skipped);
    free(used_path);
    free(skipped_path);
    return st;
}

static void write_left(FILE *f, const LeftOut *left) {
    static const char *const splits[] = {"-", "train", "val"};
    char why[96];
    for (int64_t i = 0; i < left->count; i++) {
        const LeftEntry *e = &left->entry[i];
        fprintf(f, "left_out\t%s\t-\t\t", splits[e->split + 1]);
        write_text(f, e->path);
        fputs(e->folder ? "/\t" : "\t", f);
        write_text(f, left_out_why(why, sizeof why, &left->reason[e->reason]));
        fputc('\n', f);
    }
}

Status fates_write(const char *stem, const char *ending, const ImageInputs *in,
                   const FateSplit *splits, int count, bool left_out, Error *err) {
    AtomicFile file;
    if (in->splits.train.blob_count || in->splits.val.blob_count) return OK;
    char *path = format_text("%s_files%s.tsv", stem, ending);
    if (!path) return fail(err, ERR_MEMORY, "images: out of memory");
    Status st = atomic_open(&file, path, err);
    free(path);
    if (st != OK) return st;
    fputs("fate\tsplit\tlabel\tclass\tpath\twhy\n", file.stream);
    for (int i = 0; st == OK && i < count; i++) st = write_split(file.stream, &splits[i], err);
    if (st == OK && left_out) write_left(file.stream, &in->splits.left);
    if (st == OK) return atomic_commit(&file, err);
    atomic_abort(&file);
    return st;
}
