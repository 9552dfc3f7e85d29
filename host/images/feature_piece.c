/* feature_piece.c - one split of images under one encoder: decoded, encoded and written batch by batch. */
#include "host/images/feature_piece.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/images/feature_file.h"
#include "host/images/pipeline.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "io/arrays/npy.h"

/* One split under the current encoder. */
typedef struct {
    FeatureCall *call;
    const SourceList *list;
    const char *name;
    int64_t first, end; /* sources of the shard */
    FeatureFile file;
    AtomicFile dump;
    char *dump_path, *skipped_path;
    char *skipped; /* lines "name<TAB>reason" */
    char *stem, *shard_lock, *record;
    Made made;
    Pipeline pipeline;
    int64_t next, done; /* sources before it are taken; sources that have their row, or are bad */
} Piece;

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "features: out of memory");
}

static Status add_text(char **text, const char *line, Error *err) {
    char *longer = format_text("%s%s\n", *text ? *text : "", line);
    free(*text);
    *text = longer;
    return longer ? OK : out_of_memory(err);
}

static Status add_file(FeatureCall *c, const char *path, int64_t rows, int64_t columns,
                       Error *err) {
    char *line = format_text("%s  (%lld, %lld)", path, (long long)rows, (long long)columns);
    const Status st = line ? add_text(&c->result->files, line, err) : out_of_memory(err);
    free(line);
    return st;
}

char *feature_piece_stem(const FeatureCall *c, const char *split) {
    char *stem = representation_stem(c->options->common.root_dir, c->phi, c->in.name, split);
    if (!stem || c->shard.pieces == 1) return stem;
    char *numbered =
        format_text("%s.%lldof%lld", stem, (long long)c->shard.number, (long long)c->shard.pieces);
    free(stem);
    return numbered;
}

char *feature_lock_path(const FeatureCall *c, const char *phi, const char *ending) {
    return format_text("%s/representations/%s/.%s%s", c->options->common.root_dir, phi, c->in.name,
                       ending);
}

void feature_piece_range(const FeatureCall *c, const SourceList *list, int64_t *first,
                         int64_t *end) {
    *first = list->count * (c->shard.number - 1) / c->shard.pieces;
    *end = list->count * c->shard.number / c->shard.pieces;
}

/* --- pixels that the encoder sees ------------------------------------------------------------- */

/* Opens FILE.npy for the training split, FILE_val.npy for the other. */
static Status dump_open(Piece *p, const char *path, Error *err) {
    if (!path) return OK;
    const char *dot = strrchr(path, '.');
    const size_t stem = dot && strcmp(dot, ".npy") == 0 ? (size_t)(dot - path) : strlen(path);
    char header[NPY_MAX_HEADER] = "";
    p->dump_path = format_text("%.*s%s.npy", (int)stem, path, strcmp(p->name, "val") ? "" : "_val");
    if (!p->dump_path) return out_of_memory(err);
    const Status st = atomic_open(&p->dump, p->dump_path, err);
    if (st == OK && p->dump.direct)
        return fail(err, ERR_ARG,
                    "features: --dump %s: is no regular file: expected one, for its first bytes "
                    "are written last",
                    p->dump_path);
    if (st == OK) fwrite(header, 1, 128, p->dump.stream);
    return st;
}

static Status dump_commit(FeatureCall *c, Piece *p, Error *err) {
    char header[NPY_MAX_HEADER];
    const int64_t shape[] = {feature_file_rows(&p->file), c->loading.rule.crop,
                             c->loading.rule.crop, 3};
    const DType type = c->loading.rule.weights == RESIZE_FLOATS ? DTYPE_F32 : DTYPE_U8;
    if (!p->dump_path) return OK;
    if (npy_header(header, type, 4, shape) != 128 || fseeko(p->dump.stream, 0, SEEK_SET) != 0 ||
        fwrite(header, 1, 128, p->dump.stream) != 128)
        return fail(err, ERR_IO, "features: %s: cannot be written", p->dump_path);
    return atomic_commit(&p->dump, err);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Reports a source that could not be decoded; an error unless those are skipped. */
static Status bad_image(FeatureCall *c, Piece *p, const Loaded *bad, Error *err) {
    if (!c->options->skip_bad || bad->status == ERR_MEMORY) {
        error_write(err, "%.400s (--skip_bad leaves such images out)", bad->err.text);
        return bad->status;
    }
    c->result->skipped++;
    notice(c->hooks, "skipped: %s", bad->err.text);
    return add_text(&p->skipped, bad->err.text, err);
}

/* Takes the next sources that no earlier call encoded. */
static int64_t next_sources(void *context, int64_t *n) {
    Piece *p = context;
    const int64_t first = feature_file_next(&p->file, p->next, encoder_batch(p->call->encoder), n);
    p->next = first + *n;
    return first;
}

static Status check_source(void *context, const Loaded *loaded, int64_t source, Error *err) {
    Piece *p = context;
    FeatureCall *c = p->call;
    if (c->first_phi) unread_count(&c->unread, loaded, p->list->source[source].name);
    return loaded->status == OK ? OK : bad_image(c, p, loaded, err);
}

/* Refuses a row with a number that is not finite. */
static Status check_finite(const FeatureCall *c, const Piece *p, const float *row, int64_t source,
                           Error *err) {
    const Precision precision = c->encoder_options.precision;
    for (int64_t j = 0; j < p->file.plan.d; j++)
        if (!isfinite(row[j]))
            return fail(err, ERR_FORMAT,
                        "features: %s: feature %lld of %.160s is not finite in %s: %s", c->weights,
                        (long long)j, p->list->source[source].name, precision_name(precision),
                        precision_advice(precision));
    return OK;
}

/* Writes the rows of a portion. */
static Status write_rows(void *context, const Portion *b, Error *err) {
    Piece *p = context;
    FeatureCall *c = p->call;
    const int64_t bytes = resize_bytes(&c->loading.rule), d = p->file.plan.d;
    Status st = OK;
    for (int64_t i = 0, row = 0; st == OK && i < b->n; i++) {
        if (b->loaded[i].status != OK) continue;
        st = check_finite(c, p, b->features + row * d, b->first + i, err);
        if (st == OK) feature_file_add(&p->file, b->features + row++ * d, b->first + i);
    }
    if (st == OK && p->dump_path) fwrite(b->pixels, (size_t)bytes, (size_t)b->good, p->dump.stream);
    if (st == OK) st = feature_file_flush(&p->file, err);
    if (st != OK) return st;
    c->encoded += b->n;
    p->done += b->n;
    c->progress.iteration += b->n;
    c->progress.seconds = now_seconds() - c->started;
    if (progress_tell(c->hooks, &c->progress) && p->done < p->end - p->first)
        return fail(err, ERR_STOPPED,
                    "features: stopped after %lld of %lld images of the %s split, kept in %s: "
                    "continue with --resume",
                    (long long)p->done, (long long)(p->end - p->first), p->name, p->file.part);
    return OK;
}

/* Encodes the sources that no earlier call did. */
static Status run_batches(FeatureCall *c, Piece *p, Error *err) {
    p->next = p->first;
    p->done = p->end - p->first - p->file.missing;
    const Status st = pipeline_run(&p->pipeline, err);
    c->waited += p->pipeline.waited;
    return st;
}

/* --- a piece ------------------------------------------------------------------------------------*/

/* Lists everything that a row depends on but its image: weights and options. */
static void rows_made_with(Made *m, const FeatureCall *c) {
    const EncoderOptions *o = &c->encoder_options;
    encoder_made(c->encoder, m);
    made_add(m, "--feature", "%s", c->options->feature);
    made_add(m, "--normalize", "%s", o->normalize ? "yes" : "no");
    made_add(m, "--orient", "%s", c->options->orient);
    made_add(m, "--decoder", "%s", c->options->decoder ? c->options->decoder : "none");
}

/* Returns the object that is written beside the rows. */
static char *rows_record(const FeatureCall *c, const Piece *p) {
    Json j = {0};
    /* absolute: reports read it from wherever they are made */
    char *whole = p->list->folder ? realpath(p->list->folder, NULL) : NULL;
    json_open(&j, NULL);
    json_text(&j, "command", "features");
    json_text(&j, "version", turtle_version());
    json_text(&j, "command_line", c->options->common.command_line);
    json_text(&j, "phi", c->phi);
    json_text(&j, "weights", c->weights);
    json_text(&j, "images", whole ? whole : p->list->folder);
    json_text(&j, "split", p->name);
    json_text(&j, "precision", precision_name(c->encoder_options.precision));
    made_json(&j, &p->made);
    json_close(&j);
    free(whole);
    return json_take(&j);
}

/* Looks at what is there of the piece. */
static Status piece_open(FeatureCall *c, Piece *p, Error *err) {
    p->stem = feature_piece_stem(c, p->name);
    p->skipped_path = p->stem ? format_text("%s.skipped.txt", p->stem) : NULL;
    p->shard_lock = feature_lock_path(c, c->phi, "");
    rows_made_with(&p->made, c);
    p->record = rows_record(c, p);
    if (!p->stem || !p->skipped_path || !p->shard_lock || !p->record) return out_of_memory(err);
    const FeaturePlan plan = {.stem = p->stem,
                              .shard_lock = c->shard.pieces == 1 ? p->shard_lock : NULL,
                              .d = encoder_features(c->encoder),
                              .made = &p->made,
                              .record = p->record,
                              .resume = c->options->resume,
                              .join = !c->options->dump, /* rows that are taken have no pixels */
                              .list = p->list,
                              .first = p->first,
                              .end = p->end};
    return feature_file_open(&p->file, &plan, err);
}

/* Allocates memory for batches, and opens the files that are written. */
static Status piece_begin(FeatureCall *c, Piece *p, Error *err) {
    p->pipeline = (Pipeline){.encoder = c->encoder,
                             .how = &c->loading,
                             .list = p->list,
                             .context = p,
                             .next = next_sources,
                             .check = check_source,
                             .take = write_rows};
    Status st = pipeline_open(&p->pipeline, err);
    if (st == OK) st = feature_file_begin(&p->file, err);
    return st == OK ? dump_open(p, c->options->dump, err) : st;
}

static void piece_close(Piece *p, bool keep) {
    feature_file_close(&p->file, keep);
    atomic_abort(&p->dump);
    free(p->dump_path);
    free(p->skipped_path);
    free(p->skipped);
    free(p->stem), free(p->shard_lock), free(p->record);
    pipeline_close(&p->pipeline);
}

/* Writes the final names of the images, and the list of those that were skipped. */
static Status piece_finish(FeatureCall *c, Piece *p, Error *err) {
    const int64_t rows = feature_file_rows(&p->file);
    if (rows == 0)
        return fail(err, ERR_FORMAT, "features: none of the %lld images of the %s split is good",
                    (long long)(p->end - p->first), p->name);
    Status st = dump_commit(c, p, err);
    if (st == OK) st = feature_file_commit(&p->file, err);
    if (st == OK) st = add_file(c, p->file.path, rows, p->file.plan.d, err);
    if (st != OK) return st;
    c->result->images += rows;
    if (p->file.joined)
        notice(c->hooks, "features: %s: put together from %d shards, which nobody needs any more",
               p->file.path, p->file.joined);
    remove(p->skipped_path); /* an earlier call left it */
    return p->skipped ? file_write_text(p->skipped_path, p->skipped, err) : OK;
}

Status feature_piece_run(FeatureCall *c, const SourceList *list, const char *name, Error *err) {
    Piece p = {.call = c, .list = list, .name = name};
    feature_piece_range(c, list, &p.first, &p.end);
    if (p.first == p.end) return OK;
    Status st = piece_open(c, &p, err);
    if (st == OK) {
        c->progress.iteration += p.end - p.first - p.file.missing;
        c->progress.first += p.end - p.first - p.file.missing;
    }
    if (st == OK && feature_file_finished(&p.file)) {
        notice(c->hooks, "finished before: %s.npy", p.stem);
    } else if (st == OK) {
        st = piece_begin(c, &p, err);
        if (st == OK) st = run_batches(c, &p, err);
        if (st == OK) st = piece_finish(c, &p, err);
    }
    /* rows of an earlier call stay whatever happens to this one */
    piece_close(&p, st == ERR_STOPPED || p.file.part_bank >= 0);
    return st;
}
