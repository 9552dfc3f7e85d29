/* features.c - turtle_features: images through frozen encoders into representations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/models.h"
#include "host/images/fates.h"
#include "host/images/feature_options.h"
#include "host/images/feature_piece.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/digest.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"

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
    *out = 0;
    if (strcmp(text, "auto") == 0) return OK;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && *out >= 1 && *out <= MOST_BATCH
               ? OK
               : fail(err, ERR_USAGE, "--batch_size: '%s': expected auto or 1 to %d", text,
                      MOST_BATCH);
}

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "features: out of memory");
}

/* --- splits and encoders ---------------------------------------------------------------------- */

/* Locks this piece of a representation: no other call may write it. Its folder is made if `make`;
 * else a folder that is missing needs no lock yet. */
static Status lock_phi(const FeatureCall *c, Lock *lock, const char *phi, bool make, Error *err) {
    char ending[56] = ".lock";
    if (c->shard.pieces > 1)
        snprintf(ending, sizeof ending, ".%lldof%lld.lock", (long long)c->shard.number,
                 (long long)c->shard.pieces);
    char *path = feature_lock_path(c, phi, ending);
    char *folder = format_text("%s/representations/%s", c->options->common.root_dir, phi);
    Status st = path && folder ? OK : out_of_memory(err);
    if (st == OK && make) st = folder_make(folder, err);
    if (st == OK && file_exists(folder)) st = lock_open(lock, path, folder, err);
    free(path);
    free(folder);
    return st;
}

/* A published name must not stand over another model's features. */
static Status check_model(const FeatureCall *c, Error *err) {
    const PublishedModel *m = model_find(c->phi);
    char found[160];
    encoder_describe(found, encoder_info(c->encoder));
    if (!m || model_is(m, encoder_info(c->encoder))) return OK;
    return fail(err, ERR_FORMAT, "weights: %s: %s is %s, but this file holds %s", c->weights,
                c->phi, m->model, found);
}

/* Writes <root>/representations/<phi>/<name>_files.tsv; a shard lists its own sources, and the
 * first one also what the listing left out. */
static Status write_fates(const FeatureCall *c, Error *err) {
    const SourceList *lists[] = {&c->in.splits.train, &c->in.splits.val};
    char *stem = representation_stem(c->options->common.root_dir, c->phi, c->in.name, NULL);
    char *used[2] = {NULL}, ending[48] = "";
    FateSplit splits[2];
    int count = 0;
    Status st = stem ? OK : out_of_memory(err);
    for (int i = 0; st == OK && i < 2; i++) {
        FateSplit *s = &splits[count];
        *s = (FateSplit){.list = lists[i], .split = i ? "val" : "train"};
        feature_piece_range(c, s->list, &s->first, &s->end);
        if (s->first == s->end) continue;
        s->stem = used[i] = feature_piece_stem(c, s->split);
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

static Status run_phi(FeatureCall *c, Lock *lock, Error *err) {
    const TurtleFeaturesOptions *o = c->options;
    const SourceSplits *s = &c->in.splits;
    Status st = model_weights(&c->weights, o->common.root_dir, c->phi, o->weights, err);
    const PublishedModel *published = o->weights ? NULL : model_find(c->phi);
    if (st == OK && published && published->sha256 &&
        model_in_place(c->weights, o->common.root_dir, published))
        digest_check(c->weights, published->sha256, c->hooks);
    c->encoder_options.model = published;
    if (st == OK) st = encoder_open(&c->encoder, &c->ops, c->weights, &c->encoder_options, err);
    if (st == OK) notices(c->hooks, encoder_said(c->encoder));
    if (st == OK) st = check_model(c, err);
    if (st == OK && !lock->path) st = lock_phi(c, lock, c->phi, true, err);
    if (st == OK) {
        MemoryUse use;
        c->ops.mem.memory(c->ops.device, &use);
        if (use.arrays > c->result->device_bytes) c->result->device_bytes = use.arrays;
        c->result->batch_size = encoder_batch(c->encoder);
        c->loading.rule = encoder_known(c->encoder)->rule;
        c->loading.whole = encoder_picture_bytes(c->encoder);
        st = feature_piece_run(c, &s->train, "train", err);
    }
    if (st == OK && s->val.count) st = feature_piece_run(c, &s->val, "val", err);
    if (st == OK) st = write_fates(c, err);
    encoder_close(c->encoder);
    c->encoder = NULL;
    free(c->weights);
    c->weights = NULL;
    return st;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Checks which encoders are named: --phis, or *own, the stem of --weights. */
static Status name_phis(const TurtleFeaturesOptions *o, char **own, Error *err) {
    *own = NULL;
    if (o->phis.count == 0 && !o->weights)
        return fail(err, ERR_USAGE, "features: which encoder? Name it with --phis or --weights");
    if (o->weights && o->phis.count > 1)
        return fail(err, ERR_USAGE, "features: --weights is one file: expected one --phis, got %d",
                    o->phis.count);
    const TurtleEncoder *e = &o->encoder;
    if ((e->config || e->heads || e->activation || e->norm_eps != 0.0 || e->rope_base != 0.0 ||
         e->mean || e->std) &&
        o->phis.count > 1)
        return fail(
            err, ERR_USAGE,
            "features: --config, --heads, --activation, --norm_eps, --rope_base, --mean and --std "
            "are of one encoder: expected one --phis, got %d",
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
    char *index =
        strstr(*own, ".index.json"); /* an index of shards is named as one file would be */
    if (index && !index[strlen(".index.json")]) *index = '\0';
    char *dot = strrchr(*own, '.');
    if (dot && dot > *own) *dot = '\0';
    return OK;
}

static Status call_open(FeatureCall *c, Error *err) {
    const TurtleFeaturesOptions *o = c->options;
    const char *why = NULL;
    c->encoder_options = (EncoderOptions){.given = o->encoder,
                                          .image_size = o->image_size,
                                          .normalize = o->normalize,
                                          .whole = !o->dump}; /* which writes squares */
    Status st = shard_parse(&c->shard, o->shard, err);
    if (st == OK) st = parse_batch(&c->encoder_options.batch, o->batch_size, err);
    if (st == OK) st = feature_kind_parse(&c->encoder_options.feature, o->feature, err);
    if (st == OK) st = orient_parse(&c->loading.orient, o->orient, err);
    if (st == OK) st = decoder_open(&c->decoder, o->decoder, c->loading.orient, err);
    const ListingOptions listing = {.skip_bad = o->skip_bad,
                                    .magick = c->decoder.program == DECODER_MAGICK,
                                    .ffmpeg = c->decoder.program == DECODER_FFMPEG};
    if (st == OK) st = image_inputs_open(&c->in, &o->images, o->common.root_dir, &listing, err);
    if (st == OK) fates_tell(&c->in, c->hooks);
    if (st == OK) st = ops_open(&c->ops, o->common.device, o->common.threads, &why, err);
    if (st == OK && why) notice(c->hooks, "device: %s", why);
    if (st == OK)
        st = encoder_precision(&c->encoder_options.precision, o->common.precision, &c->ops, err);
    c->loading.decoder = &c->decoder;
    c->loading.threads = c->ops.threads;
    if (st == OK) {
        const SourceSplits *s = &c->in.splits;
        c->loading.ahead = loads_ahead(&c->ops);
        c->encoder_options.images = s->train.count > s->val.count ? s->train.count : s->val.count;
    }
    return st;
}

/* Returns where text k stands first: a phi that is named twice has one lock. */
static int first_of(const TurtleTexts *texts, int k) {
    int first = 0;
    while (strcmp(texts->item[first], texts->item[k]) != 0) first++;
    return first;
}

/* Locks all representations before hours of work, not after. */
static Status lock_phis(const FeatureCall *c, Error *err) {
    Status st = OK;
    for (int k = 0; st == OK && k < c->phis.count; k++)
        if (first_of(&c->phis, k) == k) st = lock_phi(c, &c->locks[k], c->phis.item[k], false, err);
    return st;
}

static char *result_json(const FeatureCall *c) {
    const TurtleFilesResult *r = c->result;
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "features", &c->options->common, c->ops.kind,
                precision_name(c->encoder_options.precision));
    json_real(&j, "seconds", r->seconds);
    json_integer(&j, "images", r->images);
    json_integer(&j, "skipped", r->skipped);
    json_integer(&j, "decoded", r->decoded);
    fates_json(&j, &c->in);
    json_integer(&j, "batch_size", r->batch_size);
    json_real(&j, "images_per_s", r->images_per_s);
    json_real(&j, "waiting_share", r->waiting_share);
    json_integer(&j, "device_bytes", r->device_bytes);
    json_files(&j, r->files);
    json_close(&j);
    return json_take(&j);
}

Status turtle_features(const TurtleFeaturesOptions *options, TurtleFilesResult *out, Error *err) {
    PLAIN_LOCALE;
    FeatureCall c = {.options = options, .hooks = &options->common.hooks, .result = out};
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
        out->waiting_share = out->seconds > 0 ? c.waited / out->seconds : 0.0;
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
