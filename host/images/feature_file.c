/* feature_file.c - representations written batch by batch, beside what earlier calls left of them. */
#include "host/images/feature_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/arrays/npy.h"
#include "io/files/lock.h"

enum {
    HEADER = 128
}; /* bytes of the header of every (N,d) float32 .npy; until commit it holds words */
enum { NOWHERE = -1, IN_PART = -2 }; /* instead of a bank's number */

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "features: out of memory");
}

static Status cannot_write(const FeatureFile *f, Error *err) {
    return fail(err, ERR_IO, "features: %s: %s", f->part, strerror(errno));
}

/* --- what earlier calls left ------------------------------------------------------------------ */

/* Compares the record beside rows with this call's. *same is false where they differ, and where there
 * is none: rows of earlier versions, which are told from others by their number of columns alone,
 * pass if `unknown` and this call is one of float32, as they are. ERR_ARG says what differs, unless
 * `lenient`. */
static Status compare(bool *same, const FeatureFile *f, const char *rows, const char *record,
                      bool unknown, bool lenient, const char *way_out, Error *err) {
    char text[MADE_TEXT];
    MadeFile earlier;
    const char *precision = made_value(f->plan.made, "--precision");
    Status st = made_read(&earlier, record, err);
    /* rows of versions that had no other precision */
    if (precision && !made_value(&earlier.made, "--precision"))
        made_add(&earlier.made, "--precision", "fp32");
    unknown = unknown && !earlier.there && (!precision || strcmp(precision, "fp32") == 0);
    *same = st == OK &&
            (earlier.known ? made_differs(text, &earlier.made, f->plan.made) == 0 : unknown);
    if (st != OK || *same || lenient) return st;
    if (!earlier.known)
        return fail(err, ERR_ARG, "features: %s: what it was made with is not known: %s", rows,
                    way_out);
    return fail(err, ERR_ARG, "features: %s: was made with %s: %s", rows, text, way_out);
}

/* Returns the name that is there: list and record have their final names already if a call was
 * killed while it gave them. */
static const char *either(const char *part, const char *final) {
    return file_exists(part) ? part : final;
}

static Status look_at_part(FeatureFile *f, Error *err) {
    const char *names = either(f->names_part, f->names_path);
    bool same;
    Status st = OK;
    if (!file_exists(f->part)) return OK;
    if (!f->plan.resume)
        return fail(err, ERR_ARG,
                    "features: %s: an interrupted call left it: continue with --resume, "
                    "or remove it",
                    f->part);
    st = compare(&same, f, f->part, either(f->record_part, f->record_path), false, false,
                 "continue with the same, or remove it to start anew", err);
    const int before = f->earlier.banks;
    if (st == OK) st = earlier_add_part(&f->earlier, f->part, names, HEADER, err);
    if (st == OK && f->earlier.banks > before) f->part_bank = before;
    return st;
}

/* A part that was begun over a finished file may be made with something else than that. */
static Status look_at_final(FeatureFile *f, Error *err) {
    bool same = false, added = false;
    Status st = OK;
    if (!file_exists(f->path)) return OK;
    st = compare(&same, f, f->path, f->record_path, true, f->part_bank >= 0,
                 "give the same to add to it, or leave --resume away to make it anew", err);
    if (st == OK && same) st = earlier_add_file(&f->earlier, f->path, f->names_path, &added, err);
    if (st == OK && added) f->final_bank = f->earlier.banks - 1;
    return st;
}

/* Returns the length of ".<I>of<N>" in front of ".npy" or ".npy.part", or 0. */
static size_t shard_ending(const char *text, bool *part) {
    size_t n = 1, digits = strspn(text + 1, "0123456789");
    if (text[0] != '.' || !digits) return 0;
    n += digits;
    if (strncmp(text + n, "of", 2) != 0) return 0;
    n += 2;
    digits = strspn(text + n, "0123456789");
    n += digits;
    *part = strcmp(text + n, ".npy.part") == 0;
    return digits && (*part || strcmp(text + n, ".npy") == 0) ? n : 0;
}

/* Adds the rows of one shard, unless a call is at work on it. */
static Status add_shard(FeatureFile *f, const char *ending, size_t n, bool part, Error *err) {
    const char *more = part ? ".part" : "";
    char *rows = format_text("%s%.*s.npy%s", f->plan.stem, (int)n, ending, more);
    char *names = format_text("%s%.*s.txt%s", f->plan.stem, (int)n, ending, more);
    char *record = format_text("%s%.*s.json%s", f->plan.stem, (int)n, ending, more);
    char *lock_path = format_text("%s%.*s.lock", f->plan.shard_lock, (int)n, ending);
    const bool asked = f->plan.resume; /* else only what surely fits is taken */
    const bool lenient = !asked || f->part_bank >= 0 || f->final_bank >= 0;
    const int before = f->earlier.banks;
    bool same = false, added;
    Lock lock = {0};
    Status st = rows && names && record && lock_path ? OK : out_of_memory(err);
    if (st == OK) st = lock_open(&lock, lock_path, rows, err);
    if (st == OK)
        st = compare(&same, f, rows, record, asked && !part, lenient,
                     "give the same to join it, or remove it", err);
    if (st == OK && same && part) st = earlier_add_part(&f->earlier, rows, names, HEADER, err);
    else if (st == OK && same) st = earlier_add_file(&f->earlier, rows, names, &added, err);
    if (st == OK && !part) f->joined += f->earlier.banks - before;
    lock_close(&lock);
    free(rows), free(names), free(record), free(lock_path);
    return st;
}

static Status look_at_shards(FeatureFile *f, Error *err) {
    const char *slash = strrchr(f->plan.stem, '/'), *base = slash ? slash + 1 : f->plan.stem;
    const size_t base_bytes = strlen(base);
    char *folder = slash ? strndup(f->plan.stem, (size_t)(slash - f->plan.stem)) : strdup(".");
    DIR *dir = folder ? opendir(folder) : NULL;
    Status st = folder ? OK : out_of_memory(err);
    bool part;
    for (struct dirent *entry; st == OK && dir && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, base, base_bytes) != 0) continue;
        const char *ending = entry->d_name + base_bytes;
        const size_t n = shard_ending(ending, &part);
        if (n && (f->plan.resume || !part)) st = add_shard(f, ending, n, part, err);
    }
    if (dir) closedir(dir);
    free(folder);
    return st;
}

/* Finds the row of every source. */
static Status place_rows(FeatureFile *f, Error *err) {
    const FeaturePlan *p = &f->plan;
    free(f->earlier.slot);
    f->earlier.slot = NULL;
    const Status st = earlier_index(&f->earlier, err);
    f->missing = 0;
    for (int64_t i = p->first; st == OK && i < p->end; i++) {
        RowPlace *place = &f->place[i - p->first];
        *place = earlier_find(&f->earlier, p->list->source[i].name);
        if (place->bank == NOWHERE) f->missing++;
        else if (place->bank == f->part_bank) place->bank = IN_PART;
    }
    return st;
}

Status feature_file_open(FeatureFile *out, const FeaturePlan *plan, Error *err) {
    FeatureFile *f = out;
    *f = (FeatureFile){.plan = *plan,
                       .path = format_text("%s.npy", plan->stem),
                       .names_path = format_text("%s.txt", plan->stem),
                       .record_path = format_text("%s.json", plan->stem),
                       .part = format_text("%s.npy.part", plan->stem),
                       .names_part = format_text("%s.txt.part", plan->stem),
                       .record_part = format_text("%s.json.part", plan->stem),
                       .part_bank = -1,
                       .final_bank = -1,
                       .place = malloc((size_t)(plan->end - plan->first) * sizeof *f->place)};
    earlier_open(&f->earlier, plan->d);
    Status st = f->path && f->names_path && f->record_path && f->part && f->names_part &&
                        f->record_part && f->place
                    ? OK
                    : out_of_memory(err);
    if (st == OK) st = look_at_part(f, err);
    if (st == OK && plan->resume && f->part_bank < 0) { /* a call was killed at its very end */
        remove(f->names_part);
        remove(f->record_part);
    }
    if (st == OK && plan->resume) st = look_at_final(f, err);
    if (st == OK) st = place_rows(f, err);
    const bool join = plan->resume || (plan->join && !file_exists(f->path));
    if (st == OK && join && plan->shard_lock && f->missing) {
        st = look_at_shards(f, err);
        if (st == OK) st = place_rows(f, err);
    }
    if (st == OK && f->part_bank >= 0) f->count = f->earlier.bank[f->part_bank].count;
    if (st != OK) feature_file_close(f, true);
    return st;
}

/* Returns whether the rows are those of the finished file, in its order, and all of them. */
static bool as_final(const FeatureFile *f) {
    int64_t row = 0;
    if (f->final_bank < 0) return false;
    for (int64_t i = 0; i < f->plan.end - f->plan.first; i++) {
        if (f->place[i].bank == NOWHERE) continue;
        if (f->place[i].bank != f->final_bank || f->place[i].row != row++) return false;
    }
    return row == f->earlier.bank[f->final_bank].count;
}

bool feature_file_finished(const FeatureFile *f) {
    return f->missing == 0 && f->part_bank < 0 && as_final(f);
}

/* --- writing ---------------------------------------------------------------------------------- */

static Status make_folder_of(const char *path, Error *err) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;
    const Status st = folder ? folder_make(folder, err) : OK;
    free(folder);
    return st;
}

/* The record stands before there are rows, so rows never lack a whole one. */
static bool write_record(const FeatureFile *f) {
    FILE *file = fopen(f->record_part, "wb");
    if (!file) return false;
    const bool good = fprintf(file, "%s\n", f->plan.record) > 0;
    return fclose(file) == 0 && good;
}

/* Cuts the parts to whole rows with names, and nothing else. */
static bool continue_part(const FeatureFile *f) {
    const RowBank *b = &f->earlier.bank[f->part_bank];
    const char *last = b->count ? b->name[b->count - 1] : NULL;
    const int64_t names = last ? last + strcspn(last, "\n") + 1 - (const char *)b->names.data : 0;
    if (!file_exists(f->names_part) && rename(f->names_path, f->names_part) != 0) return false;
    if (!file_exists(f->record_part) && rename(f->record_path, f->record_part) != 0) return false;
    return truncate(f->part, HEADER + f->count * f->plan.d * (int64_t)sizeof(float)) == 0 &&
           truncate(f->names_part, names) == 0;
}

Status feature_file_begin(FeatureFile *f, Error *err) {
    const bool there = f->part_bank >= 0;
    const Status st = make_folder_of(f->path, err);
    if (st != OK) return st;
    if (!(there ? continue_part(f) : write_record(f))) return cannot_write(f, err);
    f->names = fopen(f->names_part, there ? "ab" : "wb");
    if (f->names) f->rows = fopen(f->part, there ? "r+b" : "wb");
    if (!f->rows || !f->names || fseeko(f->rows, 0, there ? SEEK_END : SEEK_SET) != 0)
        return cannot_write(f, err);
    if (!there) fprintf(f->rows, "%-*s\n", HEADER - 1, "turtle features, unfinished");
    return OK;
}

int64_t feature_file_next(const FeatureFile *f, int64_t from, int64_t most, int64_t *n) {
    const RowPlace *place = f->place - f->plan.first;
    const int64_t end = f->plan.end;
    *n = 0;
    while (from < end && place[from].bank != NOWHERE) from++;
    while (*n < most && from + *n < end && place[from + *n].bank == NOWHERE) ++*n;
    return from;
}

void feature_file_add(FeatureFile *f, const float *features, int64_t i) {
    fwrite(features, sizeof *features, (size_t)f->plan.d, f->rows);
    fprintf(f->names, "%s\n", f->plan.list->source[i].name);
    f->place[i - f->plan.first] = (RowPlace){.bank = IN_PART, .row = f->count++};
}

Status feature_file_flush(FeatureFile *f, Error *err) {
    return fflush(f->rows) == 0 && fflush(f->names) == 0 && !ferror(f->rows) && !ferror(f->names)
               ? OK
               : cannot_write(f, err);
}

int64_t feature_file_rows(const FeatureFile *f) {
    int64_t rows = 0;
    for (int64_t i = 0; i < f->plan.end - f->plan.first; i++) rows += f->place[i].bank != NOWHERE;
    return rows;
}

/* --- finishing -------------------------------------------------------------------------------- */

static bool finish(FILE **file) {
    const bool good = fflush(*file) == 0 && !ferror(*file) && fsync(fileno(*file)) == 0;
    const bool closed = fclose(*file) == 0;
    *file = NULL;
    return good && closed;
}

/* Returns whether the part is the whole result: all of its rows, in the order of the list. */
static bool part_is_whole(const FeatureFile *f) {
    int64_t row = 0;
    for (int64_t i = 0; i < f->plan.end - f->plan.first; i++) {
        if (f->place[i].bank == NOWHERE) continue;
        if (f->place[i].bank != IN_PART || f->place[i].row != row++) return false;
    }
    return row == f->count;
}

/* Makes the parts the result. */
static Status rename_parts(FeatureFile *f, const char *header, Error *err) {
    if (fseeko(f->rows, 0, SEEK_SET) != 0 || fwrite(header, 1, HEADER, f->rows) != HEADER)
        return cannot_write(f, err);
    const bool names = finish(&f->names), rows = finish(&f->rows);
    if (!names || !rows || rename(f->record_part, f->record_path) != 0 ||
        rename(f->names_part, f->names_path) != 0 || rename(f->part, f->path) != 0)
        return cannot_write(f, err);
    return OK;
}

/* Writes rows of several files in the order of the list. */
static void write_rows(const FeatureFile *f, const uint8_t *part, FILE *rows, FILE *names) {
    const int64_t bytes = f->plan.d * (int64_t)sizeof(float);
    for (int64_t i = f->plan.first; i < f->plan.end; i++) {
        const RowPlace p = f->place[i - f->plan.first];
        if (p.bank == NOWHERE) continue;
        const uint8_t *first = p.bank == IN_PART ? part + HEADER : f->earlier.bank[p.bank].first;
        fwrite(first + p.row * bytes, 1, (size_t)bytes, rows);
        fprintf(names, "%s\n", f->plan.list->source[i].name);
    }
}

/* Puts the result together from the part and files of earlier calls. */
static Status assemble(FeatureFile *f, const char *header, Error *err) {
    AtomicFile rows = {0}, names = {0};
    FileMap part = {0};
    const bool names_good = finish(&f->names), rows_good = finish(&f->rows);
    Status st = names_good && rows_good ? OK : cannot_write(f, err);
    if (st == OK) st = file_map(&part, f->part, err);
    if (st == OK) st = atomic_open(&rows, f->path, err);
    if (st == OK) st = atomic_open(&names, f->names_path, err);
    if (st == OK) {
        fwrite(header, 1, HEADER, rows.stream);
        write_rows(f, part.data, rows.stream, names.stream);
        if (fflush(rows.stream) != 0 || fsync(fileno(rows.stream)) != 0)
            st = cannot_write(f, err); /* most of the work, before any file has its final name */
    }
    if (st == OK) st = file_write_text(f->record_path, f->plan.record, err);
    if (st == OK) st = atomic_commit(&names, err);
    if (st == OK) st = atomic_commit(&rows, err);
    atomic_abort(&names);
    atomic_abort(&rows);
    file_unmap(&part);
    if (st == OK &&
        (remove(f->part) != 0 || remove(f->names_part) != 0 || remove(f->record_part) != 0))
        st = cannot_write(f, err);
    return st;
}

static void close_parts(FeatureFile *f, bool keep) {
    const bool open = f->rows || f->names;
    if (f->rows) fclose(f->rows);
    if (f->names) fclose(f->names);
    f->rows = f->names = NULL;
    if (!open || keep) return;
    remove(f->part);
    remove(f->names_part);
    remove(f->record_part);
}

Status feature_file_commit(FeatureFile *f, Error *err) {
    char header[NPY_MAX_HEADER];
    const int64_t shape[] = {feature_file_rows(f), f->plan.d};
    if (npy_header(header, DTYPE_F32, 2, shape) != HEADER)
        return fail(err, ERR_ARG, "features: %s: no header for %lld x %lld", f->path,
                    (long long)shape[0], (long long)shape[1]);
    if (part_is_whole(f)) return rename_parts(f, header, err);
    if (!as_final(f)) return assemble(f, header, err);
    close_parts(f, false); /* no image got a row: the finished file stands */
    return OK;
}

void feature_file_close(FeatureFile *f, bool keep) {
    close_parts(f, keep);
    earlier_close(&f->earlier);
    free(f->place);
    free(f->path), free(f->names_path), free(f->record_path);
    free(f->part), free(f->names_part), free(f->record_part);
    *f = (FeatureFile){0};
}
