/* features.c - turtle_features: images through frozen encoders into representations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/encoder.h"
#include "host/encode/models.h"
#include "host/images/fates.h"
#include "host/images/feature_file.h"
#include "host/images/loader.h"
#include "host/images/unread.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/digest.h"
#include "host/tell/notify.h"
#include "host/tell/shard.h"
#include "io/arrays/npy.h"
#include "io/files/lock.h"

enum { AUTO_BATCH = 16, MOST_BATCH = 4096 };

void turtle_features_defaults(TurtleFeaturesOptions *o) {
    *o = (TurtleFeaturesOptions){
        .common = common_defaults(), .batch_size = "auto", .feature = "cls", .orient = "none"};
}

void turtle_files_result_free(TurtleFilesResult *r) {
    if (!r) return;
    free(r->files);
    free(r->json);
    *r = (TurtleFilesResult){0};
}

/* --- options ---------------------------------------------------------------------------------- */

static Status parse_batch(int64_t *out, const char *text, Error *err) {
    char *end = NULL;
    *out = AUTO_BATCH;
    if (strcmp(text, "auto") == 0) return OK;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && *out >= 1 && *out <= MOST_BATCH
               ? OK
               : fail(err, ERR_USAGE, "--batch_size: '%s': expected auto or 1 to %d", text,
                      MOST_BATCH);
}

static Status parse_feature(FeatureKind *out, const char *text, Error *err) {
    static const char *const names[] = {"cls", "patchmean", "cls+mean"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (FeatureKind)i;
            return OK;
        }
    return fail(err, ERR_USAGE, "--feature: '%s': expected cls, patchmean or cls+mean", text);
}

/* --- a call ----------------------------------------------------------------------------------- */

typedef struct {
    const TurtleFeaturesOptions *options;
    const TurtleHooks *hooks;
    EncoderOptions encoder_options;
    Shard shard;
    ImageInputs in;
    Ops ops;
    Encoder *encoder; /* of the current phi */
    TurtleTexts phis;
    Lock *locks; /* (phis.count) */
    const char *phi;
    char *weights;
    Loading loading;
    Decoder decoder;
    Unread unread; /* under the first encoder: the others meet the same pictures */
    bool first_phi;
    TurtleFilesResult *result;
    TurtleProgress progress;
    double started;
    int64_t encoded; /* images, for the rate */
} Call;

/* One split under the current encoder. */
typedef struct {
    const SourceList *list;
    const char *name;
    int64_t first, end; /* of the shard */
    FeatureFile file;
    AtomicFile dump;
    char *dump_path, *skipped_path;
    char *skipped; /* lines "name<TAB>reason" */
    char *stem, *shard_lock, *record;
    Made made;
    uint8_t *pixels;
    Loaded *loaded;
    float *features;
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

static Status add_file(Call *c, const char *path, int64_t rows, int64_t columns, Error *err) {
    char *line = format_text("%s  (%lld, %lld)", path, (long long)rows, (long long)columns);
    const Status st = line ? add_text(&c->result->files, line, err) : out_of_memory(err);
    free(line);
    return st;
}

/* --- pixels that the encoder sees ------------------------------------------------------------- */

/* FILE.npy of the training split, FILE_val.npy of the other. */
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

static Status dump_commit(Call *c, Piece *p, Error *err) {
    char header[NPY_MAX_HEADER];
    const int64_t shape[] = {feature_file_rows(&p->file), c->loading.rule.crop,
                             c->loading.rule.crop, 3};
    if (!p->dump_path) return OK;
    if (npy_header(header, DTYPE_U8, 4, shape) != 128 || fseeko(p->dump.stream, 0, SEEK_SET) != 0 ||
        fwrite(header, 1, 128, p->dump.stream) != 128)
        return fail(err, ERR_IO, "features: %s: cannot be written", p->dump_path);
    return atomic_commit(&p->dump, err);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Reports a source that could not be decoded; an error unless those are skipped. */
static Status bad_image(Call *c, Piece *p, int64_t i, Error *err) {
    const Loaded *bad = &p->loaded[i];
    if (!c->options->skip_bad || bad->status == ERR_MEMORY) {
        error_write(err, "%.400s (--skip_bad leaves such images out)", bad->err.text);
        return bad->status;
    }
    c->result->skipped++;
    notice(c->hooks, "skipped: %s", bad->err.text);
    return add_text(&p->skipped, bad->err.text, err);
}

/* Sources from .. from+n: decoded, the bad ones taken out, encoded, written. */
static Status run_batch(Call *c, Piece *p, int64_t from, int64_t n, Error *err) {
    const int64_t bytes = 3 * (int64_t)c->loading.rule.crop * c->loading.rule.crop,
                  d = p->file.plan.d;
    int64_t good = 0;
    Status st = OK;
    load_images(p->pixels, p->loaded, p->list, from, n, &c->loading);
    for (int64_t i = 0; st == OK && i < n; i++) {
        if (c->first_phi) unread_count(&c->unread, &p->loaded[i], p->list->source[from + i].name);
        if (p->loaded[i].status != OK) {
            st = bad_image(c, p, i, err);
        } else {
            if (good < i) memcpy(p->pixels + good * bytes, p->pixels + i * bytes, (size_t)bytes);
            good++;
        }
    }
    if (st == OK && good) st = encoder_run(c->encoder, p->features, p->pixels, good, err);
    for (int64_t i = 0, row = 0; st == OK && i < n; i++)
        if (p->loaded[i].status == OK)
            feature_file_add(&p->file, p->features + row++ * d, from + i);
    for (int64_t i = 0; st == OK && i < good * d; i++)
        if (!isfinite(p->features[i]))
            st = fail(err, ERR_FORMAT,
                      "features: %s: not finite for an image of the %s split: are "
                      "these weights whole?",
                      c->weights, p->name);
    if (st == OK && p->dump_path) fwrite(p->pixels, (size_t)bytes, (size_t)good, p->dump.stream);
    if (st == OK) st = feature_file_flush(&p->file, err);
    c->encoded += n;
    return st;
}

/* Encodes the sources that no earlier call did. */
static Status run_batches(Call *c, Piece *p, Error *err) {
    const int64_t batch = c->encoder_options.batch;
    int64_t n, done = p->end - p->first - p->file.missing;
    Status st = OK;
    for (int64_t i = p->first; st == OK; i += n) {
        i = feature_file_next(&p->file, i, batch, &n);
        if (n == 0) break;
        st = run_batch(c, p, i, n, err);
        done += n;
        c->progress.iteration += n;
        c->progress.seconds = now_seconds() - c->started;
        if (st == OK && c->hooks->progress) c->hooks->progress(c->hooks->context, &c->progress);
        if (st == OK && c->hooks->stop && *c->hooks->stop && done < p->end - p->first)
            st = fail(err, ERR_STOPPED,
                      "features: stopped after %lld of %lld images of the %s split, kept in %s: "
                      "continue with --resume",
                      (long long)done, (long long)(p->end - p->first), p->name, p->file.part);
    }
    return st;
}

/* --- splits and encoders ---------------------------------------------------------------------- */

/* Everything that a row depends on but its image: weights and options. */
static void rows_made_with(Made *m, const Call *c) {
    const EncoderOptions *o = &c->encoder_options;
    encoder_made(c->encoder, m);
    made_add(m, "--feature", "%s", c->options->feature);
    made_add(m, "--normalize", "%s", o->normalize ? "yes" : "no");
    made_add(m, "--orient", "%s", c->options->orient);
    made_add(m, "--decoder", "%s", c->options->decoder ? c->options->decoder : "none");
}

/* The object beside the rows. */
static char *rows_record(const Call *c, const Piece *p) {
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
    made_json(&j, &p->made);
    json_close(&j);
    free(whole);
    return json_take(&j);
}

/* <root>/representations/<phi>/<name>_<split>, of a shard with its number; fresh memory. */
static char *piece_stem(const Call *c, const char *split) {
    char *stem = representation_stem(c->options->common.root_dir, c->phi, c->in.name, split);
    if (!stem || c->shard.pieces == 1) return stem;
    char *numbered =
        format_text("%s.%lldof%lld", stem, (long long)c->shard.number, (long long)c->shard.pieces);
    free(stem);
    return numbered;
}

/* <root>/representations/<phi>/.<name><ending>: fresh memory. */
static char *lock_path(const Call *c, const char *phi, const char *ending) {
    return format_text("%s/representations/%s/.%s%s", c->options->common.root_dir, phi, c->in.name,
                       ending);
}

/* No other call may write this piece of a representation. Its folder is made if `make`; else a folder
 * that is missing needs no lock yet. */
static Status lock_phi(const Call *c, Lock *lock, const char *phi, bool make, Error *err) {
    char ending[56] = ".lock";
    if (c->shard.pieces > 1)
        snprintf(ending, sizeof ending, ".%lldof%lld.lock", (long long)c->shard.number,
                 (long long)c->shard.pieces);
    char *path = lock_path(c, phi, ending);
    char *folder = format_text("%s/representations/%s", c->options->common.root_dir, phi);
    Status st = path && folder ? OK : out_of_memory(err);
    if (st == OK && make) st = folder_make(folder, err);
    if (st == OK && file_exists(folder)) st = lock_open(lock, path, folder, err);
    free(path);
    free(folder);
    return st;
}

/* Looks at what is there of the piece. */
static Status piece_open(Call *c, Piece *p, Error *err) {
    p->stem = piece_stem(c, p->name);
    p->skipped_path = p->stem ? format_text("%s.skipped.txt", p->stem) : NULL;
    p->shard_lock = lock_path(c, c->phi, "");
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

/* Memory for batches, and the files that are written. */
static Status piece_begin(Call *c, Piece *p, Error *err) {
    const int64_t batch = c->encoder_options.batch, d = encoder_features(c->encoder);
    p->pixels = malloc((size_t)(batch * 3 * c->loading.rule.crop * c->loading.rule.crop));
    p->loaded = calloc((size_t)batch, sizeof *p->loaded);
    p->features = malloc((size_t)(batch * d) * sizeof *p->features);
    if (!p->pixels || !p->loaded || !p->features) return out_of_memory(err);
    const Status st = feature_file_begin(&p->file, err);
    return st == OK ? dump_open(p, c->options->dump, err) : st;
}

static void piece_close(Piece *p, bool keep) {
    feature_file_close(&p->file, keep);
    atomic_abort(&p->dump);
    free(p->dump_path);
    free(p->skipped_path);
    free(p->skipped);
    free(p->stem), free(p->shard_lock), free(p->record);
    free(p->pixels);
    free(p->loaded);
    free(p->features);
}

/* Writes the final names of the images, and the list of those that were skipped. */
static Status piece_finish(Call *c, Piece *p, Error *err) {
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
    remove(p->skipped_path); /* of an earlier call */
    return p->skipped ? file_write_text(p->skipped_path, p->skipped, err) : OK;
}

/* The sources of this shard. */
static void shard_range(const Call *c, const SourceList *list, int64_t *first, int64_t *end) {
    *first = list->count * (c->shard.number - 1) / c->shard.pieces;
    *end = list->count * c->shard.number / c->shard.pieces;
}

static Status run_split(Call *c, const SourceList *list, const char *name, Error *err) {
    Piece p = {.list = list, .name = name};
    shard_range(c, list, &p.first, &p.end);
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

/* A published name must not stand over another model's features. */
static Status check_model(const Call *c, Error *err) {
    const PublishedModel *m = model_find(c->phi);
    char found[160];
    encoder_describe(found, encoder_info(c->encoder));
    if (!m || strcmp(m->model, found) == 0) return OK;
    return fail(err, ERR_FORMAT, "weights: %s: %s is %s, but this file holds %s", c->weights,
                c->phi, m->model, found);
}

/* <root>/representations/<phi>/<name>_files.tsv; of a shard its own sources, and of the first one
 * what the listing left out. */
static Status write_fates(const Call *c, Error *err) {
    const SourceList *lists[] = {&c->in.splits.train, &c->in.splits.val};
    char *stem = representation_stem(c->options->common.root_dir, c->phi, c->in.name, NULL);
    char *used[2] = {NULL}, ending[48] = "";
    FateSplit splits[2];
    int count = 0;
    Status st = stem ? OK : out_of_memory(err);
    for (int i = 0; st == OK && i < 2; i++) {
        FateSplit *s = &splits[count];
        *s = (FateSplit){.list = lists[i], .split = i ? "val" : "train"};
        shard_range(c, s->list, &s->first, &s->end);
        if (s->first == s->end) continue;
        s->stem = used[i] = piece_stem(c, s->split);
        if (!used[i]) st = out_of_memory(err);
        count++;
    }
    if (c->shard.pieces > 1)
        snprintf(ending, sizeof ending, ".%lldof%lld", (long long)c->shard.number,
                 (long long)c->shard.pieces);
    if (st == OK) st = fates_write(stem, ending, &c->in, splits, count, c->shard.number == 1, err);
    free(stem);
    free(used[0]);
    free(used[1]);
    return st;
}

static Status run_phi(Call *c, Lock *lock, Error *err) {
    const TurtleFeaturesOptions *o = c->options;
    const SourceSplits *s = &c->in.splits;
    Status st = model_weights(&c->weights, o->common.root_dir, c->phi, o->weights, err);
    const PublishedModel *published = o->weights ? NULL : model_find(c->phi);
    char digest[65];
    if (st == OK && published && model_digest(digest, published))
        digest_check(c->weights, digest, c->hooks);
    c->encoder_options.published = model_find(c->phi) && !o->weights;
    if (st == OK) st = encoder_open(&c->encoder, &c->ops, c->weights, &c->encoder_options, err);
    if (st == OK) notices(c->hooks, encoder_said(c->encoder));
    if (st == OK) st = check_model(c, err);
    if (st == OK && !lock->path) st = lock_phi(c, lock, c->phi, true, err);
    if (st == OK) {
        c->loading.rule = encoder_known(c->encoder)->rule;
        st = run_split(c, &s->train, "train", err);
    }
    if (st == OK && s->val.count) st = run_split(c, &s->val, "val", err);
    if (st == OK) st = write_fates(c, err);
    encoder_close(c->encoder);
    c->encoder = NULL;
    free(c->weights);
    c->weights = NULL;
    return st;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Names of encoders: --phis, or the stem of --weights. */
static Status name_phis(const TurtleFeaturesOptions *o, char **own, Error *err) {
    *own = NULL;
    if (o->phis.count == 0 && !o->weights)
        return fail(err, ERR_USAGE, "features: which encoder? Name it with --phis or --weights");
    if (o->weights && o->phis.count > 1)
        return fail(err, ERR_USAGE, "features: --weights is one file: expected one --phis, got %d",
                    o->phis.count);
    const TurtleEncoder *e = &o->encoder;
    if ((e->config || e->heads || e->activation || e->norm_eps != 0.0 || e->mean || e->std) &&
        o->phis.count > 1)
        return fail(
            err, ERR_USAGE,
            "features: --config, --heads, --activation, --norm_eps, --mean and --std are of "
            "one encoder: expected one --phis, got %d",
            o->phis.count);
    if (o->dump && o->phis.count > 1)
        return fail(err, ERR_USAGE, "features: --dump is one encoder's: expected one --phis");
    if (o->dump && o->resume) return fail(err, ERR_USAGE, "features: --dump cannot be resumed");
    if (o->phis.count) return OK;
    size_t end = strlen(o->weights); /* a folder may end with '/' */
    while (end > 1 && o->weights[end - 1] == '/') end--;
    size_t first = end;
    while (first > 0 && o->weights[first - 1] != '/') first--;
    *own = strndup(o->weights + first, end - first);
    if (!*own) return out_of_memory(err);
    char *index = strstr(*own, ".index.json"); /* of shards: named as one file would be */
    if (index && !index[strlen(".index.json")]) *index = '\0';
    char *dot = strrchr(*own, '.');
    if (dot && dot > *own) *dot = '\0';
    return OK;
}

static Status parse_orient(bool *out, const char *text, Error *err) {
    *out = strcmp(text, "exif") == 0;
    if (*out || strcmp(text, "none") == 0) return OK;
    return fail(err, ERR_USAGE, "--orient: '%s': expected none or exif", text);
}

static Status call_open(Call *c, Error *err) {
    const TurtleFeaturesOptions *o = c->options;
    const char *why = NULL;
    c->encoder_options = (EncoderOptions){
        .given = o->encoder, .image_size = o->image_size, .normalize = o->normalize};
    Status st = shard_parse(&c->shard, o->shard, err);
    if (st == OK) st = parse_batch(&c->encoder_options.batch, o->batch_size, err);
    if (st == OK) st = parse_feature(&c->encoder_options.feature, o->feature, err);
    if (st == OK) st = parse_orient(&c->loading.orient, o->orient, err);
    if (st == OK) st = decoder_open(&c->decoder, o->decoder, c->loading.orient, err);
    const ListingOptions listing = {.skip_bad = o->skip_bad,
                                    .magick = c->decoder.program == DECODER_MAGICK,
                                    .ffmpeg = c->decoder.program == DECODER_FFMPEG};
    if (st == OK) st = image_inputs_open(&c->in, &o->images, o->common.root_dir, &listing, err);
    if (st == OK) fates_tell(&c->in, c->hooks);
    if (st == OK)
        st = ops_open_for(&c->ops, OPS_ENCODE, o->common.device, o->common.threads, &why, err);
    if (st == OK && why) notice(c->hooks, "device: %s", why);
    c->loading.decoder = &c->decoder;
    c->loading.threads = c->ops.threads;
    return st;
}

/* Where text k stands first: a phi that is named twice has one lock. */
static int first_of(const TurtleTexts *texts, int k) {
    int first = 0;
    while (strcmp(texts->item[first], texts->item[k]) != 0) first++;
    return first;
}

/* All of them before hours of work, not after. */
static Status lock_phis(const Call *c, Error *err) {
    Status st = OK;
    for (int k = 0; st == OK && k < c->phis.count; k++)
        if (first_of(&c->phis, k) == k) st = lock_phi(c, &c->locks[k], c->phis.item[k], false, err);
    return st;
}

static char *result_json(const Call *c) {
    const TurtleFilesResult *r = c->result;
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "features", &c->options->common, c->ops.kind, "fp32");
    json_real(&j, "seconds", r->seconds);
    json_integer(&j, "images", r->images);
    json_integer(&j, "skipped", r->skipped);
    json_integer(&j, "decoded", r->decoded);
    fates_json(&j, &c->in);
    json_real(&j, "images_per_s", r->images_per_s);
    json_files(&j, r->files);
    json_close(&j);
    return json_take(&j);
}

Status turtle_features(const TurtleFeaturesOptions *options, TurtleFilesResult *out, Error *err) {
    Call c = {.options = options, .hooks = &options->common.hooks, .result = out};
    char *own_phi = NULL;
    *out = (TurtleFilesResult){0};
    Status st = name_phis(options, &own_phi, err);
    if (st == OK) st = call_open(&c, err);
    if (st == OK && !options->weights)
        st = models_present(options->common.root_dir, &options->phis, c.hooks, err);
    const char *only = own_phi;
    c.phis = own_phi ? (TurtleTexts){.item = &only, .count = 1} : options->phis;
    const int phis = c.phis.count;
    const SourceSplits *s = &c.in.splits;
    c.locks = calloc((size_t)phis, sizeof *c.locks);
    if (st == OK && !c.locks) st = out_of_memory(err);
    if (st == OK) st = lock_phis(&c, err);
    c.started = now_seconds();
    c.progress = (TurtleProgress){.unit = "images",
                                  .iterations = phis * (s->train.count + s->val.count) /
                                                (c.shard.pieces ? c.shard.pieces : 1),
                                  .loss = NAN,
                                  .entropy = NAN,
                                  .cluster_acc = NAN};
    for (int k = 0; st == OK && k < phis; k++) {
        c.phi = c.phis.item[k];
        c.first_phi = k == 0;
        st = run_phi(&c, &c.locks[first_of(&c.phis, k)], err);
    }
    if (st == OK || options->skip_bad)
        unread_tell(&c.unread, &c.decoder,
                    options->images.images ? options->images.images : "FOLDER", c.hooks);
    if (st == OK) {
        out->decoded = c.unread.decoded;
        out->seconds = now_seconds() - c.started;
        out->left_out = c.in.splits.left.files;
        out->images_per_s = out->seconds > 0 ? (double)c.encoded / out->seconds : 0.0;
        out->json = result_json(&c);
        if (!out->json) st = out_of_memory(err);
    }
    for (int k = 0; c.locks && k < phis; k++) lock_close(&c.locks[k]);
    free(c.locks);
    ops_close(&c.ops);
    image_inputs_close(&c.in);
    decoder_close(&c.decoder);
    free(own_phi);
    if (st != OK) turtle_files_result_free(out);
    return st;
}
