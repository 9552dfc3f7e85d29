/* inputs.c - the features and labels of a run: found, mapped and checked. */
#include "host/inputs/inputs.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/memory.h"
#include "host/inputs/phi_hint.h"
#include "host/tell/notify.h"
#include "io/datasets/datasets.h"

/* --- features --------------------------------------------------------------------------------- */

/* float16 holds magnitudes up to MOST_FLOAT16. A power of two (Batch.exponent) brings features up
 * to MOST_SCALED there: beyond, weights, which products multiply by it, would come near the end of
 * float16 too. */
static const float MOST_FLOAT16 = 65504.0f, MOST_SCALED = 0x1p25f;

/* Returns the first space of the training split that has a larger magnitude, or NULL. */
static const Space *beyond(const Inputs *in, float most) {
    for (int k = 0; k < in->K; k++)
        if (in->train.space[k].most > most) return &in->train.space[k];
    return NULL;
}

const char *inputs_precision(const Inputs *in, const char *device) {
    return strcmp(device, "fp16") == 0 && beyond(in, MOST_SCALED) ? "tf32" : device;
}

Status inputs_check_float16(const Inputs *in, bool scales, Error *err) {
    const float most = scales ? MOST_SCALED : MOST_FLOAT16;
    const Space *s = beyond(in, most);
    if (!s) return OK;
    return fail(err, ERR_ARG,
                "training: --precision fp16: %s: row %lld holds %g, more than it serves (%g): "
                "use bf16 or fp32",
                s->path, (long long)s->most_row, s->most, (double)most);
}

/* --- labels ----------------------------------------------------------------------------------- */

static Status labels_open(Split *split, LabelTable *table, const char *path, Error *err) {
    split->y_true = malloc((size_t)split->N * sizeof *split->y_true);
    split->labels_path = format_text("%s", path);
    if (!split->y_true || !split->labels_path)
        return fail(err, ERR_MEMORY, "labels: %s: out of memory", path);
    const Status st = label_file_read(split->y_true, split->N, path, split->space[0].path, table,
                                      &split->labels, err);
    split->unlabelled = split->labels.unknown;
    return st;
}

/* Says what was assumed of a file of labels. */
static void labels_tell(const Split *split, int purpose, const TurtleHooks *hooks) {
    const LabelFacts *f = &split->labels;
    const char *path = split->labels_path;
    if (!path) return;
    if (*f->header)
        notice(hooks, "labels: %s: the first line, '%s', is taken as a header", path, f->header);
    if (f->unknown)
        notice(hooks,
               "labels: %s: %lld of %lld samples have no known label (-1, NaN or empty): they are "
               "left out",
               path, (long long)f->unknown, (long long)split->N);
    if (f->negative >= 0 && !(purpose & INPUTS_NAMES))
        notice(hooks,
               "labels: %s: sample %lld has label %s, a class like any other: only -1 says that a "
               "label is not known",
               path, (long long)f->negative, f->negative_text);
    if (f->fraction >= 0 && !(purpose & (INPUTS_LEARNING | INPUTS_NAMES)))
        notice(hooks,
               "labels: %s: sample %lld has label %s, which is no whole number: every value that "
               "differs counts as a class",
               path, (long long)f->fraction, f->fraction_text);
}

/* Gives the labels of both splits their numbers: 0 .. C-1 keep theirs, all others are numbered in
 * the order of their values, or as texts are sorted. */
static Status labels_number(Inputs *in, int purpose, const TurtleHooks *hooks, Error *err) {
    Split *splits[] = {&in->train, &in->val};
    int64_t *now = malloc((size_t)(in->labels.count + 1) * sizeof *now);
    Status st = now ? label_table_sort(&in->labels, now, err)
                    : fail(err, ERR_MEMORY, "labels: out of memory");
    for (int s = 0; st == OK && s < 2; s++) {
        int64_t *y = splits[s]->y_true;
        for (int64_t i = 0; y && i < splits[s]->N; i++)
            if (y[i] >= 0) y[i] = now[y[i]];
        labels_tell(splits[s], purpose, hooks);
        if (splits[s]->unlabelled < splits[s]->N) continue;
        free(y);
        splits[s]->y_true = NULL;
    }
    const int64_t samples = in->train.N + in->val.N;
    if (in->labels.count > 100 && 2 * in->labels.count > samples)
        notice(hooks, "labels: %lld distinct labels for %lld samples: are these classes?",
               (long long)in->labels.count, (long long)samples);
    free(now);
    return st;
}

/* --- splits ----------------------------------------------------------------------------------- */

static Status split_open(Split *out, int K, char *const *paths, const char *labels,
                         LabelTable *table, const TurtleHooks *hooks, Error *err) {
    for (int k = 0; k < K; k++) {
        const Status st = space_open(&out->space[k], paths[k], hooks, err);
        if (st != OK) return st;
        const Space *s = &out->space[k], *first = &out->space[0];
        if (s->features.N != first->features.N)
            return fail(
                err, ERR_FORMAT,
                "features: %s has %lld rows, %s has %lld: one row per sample, in the same order",
                first->path, (long long)first->features.N, s->path, (long long)s->features.N);
    }
    out->N = out->space[0].features.N;
    return labels ? labels_open(out, table, labels, err) : OK;
}

static void split_close(Split *split) {
    for (int k = 0; k < MAX_SPACES; k++) space_close(&split->space[k]);
    free(split->y_true);
    free(split->labels_path);
    *split = (Split){0};
}

Status split_check_dimensions(const Split *split, int K, const int64_t *d, const char *model,
                              Error *err) {
    for (int k = 0; k < K; k++) {
        const Space *s = &split->space[k];
        if (s->features.d != d[k])
            return fail(err, ERR_FORMAT,
                        "features: %s: dimension %lld, but space %d of %s wants %lld: "
                        "check the order of the spaces",
                        s->path, (long long)s->features.d, k + 1, model, (long long)d[k]);
    }
    return OK;
}

/* --- where things are ------------------------------------------------------------------------- */

typedef struct {
    char *features[MAX_SPACES];
    char *labels;
} SplitPaths;

static void paths_free(SplitPaths *paths) {
    for (int k = 0; k < MAX_SPACES; k++) free(paths->features[k]);
    free(paths->labels);
    *paths = (SplitPaths){0};
}

/* Names <root>/representations/<phi>/<dataset>_<split>.npy and <root>/labels/<dataset>_<split>.npy. */
static bool dataset_paths(SplitPaths *out, const TurtleInputs *w, const char *root,
                          const char *split) {
    bool ok = (out->labels = format_text("%s/labels/%s_%s.npy", root, w->dataset, split));
    for (int k = 0; ok && k < w->phis.count; k++)
        ok = (out->features[k] = format_text("%s/representations/%s/%s_%s.npy", root,
                                             w->phis.item[k], w->dataset, split));
    return ok;
}

static bool given_paths(SplitPaths *out, const TurtleTexts *features, const char *labels) {
    bool ok = !labels || (out->labels = format_text("%s", labels));
    for (int k = 0; ok && k < features->count; k++)
        ok = (out->features[k] = format_text("%s", features->item[k]));
    return ok;
}

/* Returns the characters of a file's name without the ending that array_file.h reads. */
static size_t stem_of(const char *name) {
    static const char *const endings[] = {".npy", ".npz", ".pt", ".pth", ".safetensors"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t m = strlen(endings[i]);
        if (n > m && strcmp(name + n - m, endings[i]) == 0) return n - m;
    }
    return n;
}

/* Returns the name of a space: a phi as it is; a file by its stem, and x.npz:name as x_name. Fresh memory. */
static char *space_name(const char *text) {
    const char *slash = strrchr(text, '/'), *cut = NULL;
    if (!file_exists(text) && (cut = strrchr(text, ':'))) { /* a name may hold slashes */
        for (slash = cut; slash > text && slash[-1] != '/'; slash--) {}
        slash = slash > text ? slash - 1 : NULL;
    }
    char *name = format_text("%s", slash ? slash + 1 : text);
    if (!name) return NULL;
    char *array = cut ? name + (cut - (slash ? slash + 1 : text)) : NULL;
    if (array) *array = '\0';
    const size_t stem = stem_of(name);
    char *whole = array ? format_text("%.*s_%s", (int)stem, name, array + 1)
                        : format_text("%.*s", (int)stem, name);
    for (char *c = whole; c && *c; c++)
        if (*c == '/') *c = '_';
    free(name);
    return whole;
}

/* Returns the names of the spaces joined by '_': the phis, or the stems of the files. */
static char *join_names(const TurtleTexts *texts) {
    char *joined = format_text("%s", "");
    for (int k = 0; joined && k < texts->count; k++) {
        char *name = space_name(texts->item[k]);
        char *longer = name ? format_text("%s%s%s", joined, k ? "_" : "", name) : NULL;
        free(name);
        free(joined);
        joined = longer;
    }
    return joined;
}

static Status check_wanted(const TurtleInputs *w, Error *err) {
    if (w->Z.count || w->val_Z.count || w->y_true || w->val_y_true) return memory_check(w, err);
    const int K = w->dataset ? w->phis.count : w->features.count;
    if (w->dataset && w->features.count)
        return fail(err, ERR_USAGE,
                    "inputs: give either --dataset with --phis or --features, not both");
    if (!w->dataset && !w->features.count)
        return fail(
            err, ERR_USAGE,
            "inputs: no features: give --dataset NAME --phis P... or --features FILE.npy...");
    if (w->dataset && (!*w->dataset || strchr(w->dataset, '/')))
        return fail(err, ERR_USAGE, "inputs: '%s' is not the name of a data set", w->dataset);
    if (K < 1) return fail(err, ERR_USAGE, "inputs: --dataset %s needs --phis P...", w->dataset);
    if (K > MAX_SPACES)
        return fail(err, ERR_USAGE, "inputs: %d spaces, at most %d are possible", K, MAX_SPACES);
    if (w->val_features.count && w->val_features.count != K)
        return fail(err, ERR_USAGE, "inputs: %d --features but %d --val_features: one per space", K,
                    w->val_features.count);
    if (w->val_labels && !w->val_features.count)
        return fail(err, ERR_USAGE, "inputs: --val_labels without --val_features");
    return OK;
}

/* Opens a split of the data set unless its features do not exist (then N stays 0). */
static Status dataset_split_open(Split *out, const TurtleInputs *w, const TurtleCommon *common,
                                 int purpose, Inputs *in, Error *err) {
    SplitPaths paths = {0};
    Status st = OK;
    if (!dataset_paths(&paths, w, common->root_dir, out->name)) {
        st = fail(err, ERR_MEMORY, "inputs: out of memory");
        goto out;
    }
    const bool required = out == &in->train;
    if (!required && !file_exists(paths.features[0])) goto out;
    for (int k = 0; st == OK && k < w->phis.count; k++)
        if (!file_exists(paths.features[k]))
            st = phi_missing(paths.features[k], common->root_dir, w->dataset, w->phis.item[k], err);
    if (st != OK) goto out;
    const bool labelled = file_exists(paths.labels);
    st = split_open(out, w->phis.count, paths.features, labelled ? paths.labels : NULL, &in->labels,
                    &common->hooks, err);
    if (st == OK && !labelled && !(purpose & INPUTS_LEARNING))
        notice(&common->hooks, "labels: %s: not there: the %s split is clustered without a score",
               paths.labels, out->name);
out:
    paths_free(&paths);
    return st;
}

static Status given_split_open(Split *out, const TurtleTexts *features, const char *labels,
                               LabelTable *table, const TurtleHooks *hooks, Error *err) {
    SplitPaths paths = {0};
    const Status st =
        given_paths(&paths, features, labels)
            ? split_open(out, features->count, paths.features, paths.labels, table, hooks, err)
            : fail(err, ERR_MEMORY, "inputs: out of memory");
    paths_free(&paths);
    return st;
}

/* Brings features whose squares would leave float32 into range, by one power of two for all of them: the
 * training split's, for distances are measured across spaces and from one split to the other. */
static Status scale_all(Inputs *in, const TurtleHooks *hooks, Error *err) {
    const Split *from = in->train.N ? &in->train : &in->val;
    const Space *largest = &from->space[0];
    Split *splits[] = {&in->train, &in->val};
    Status st = OK;
    for (int k = 1; k < in->K; k++)
        if (from->space[k].most > largest->most) largest = &from->space[k];
    in->exponent = space_unit_exponent(largest);
    if (in->exponent)
        notice(
            hooks,
            "features: %s: the largest magnitude is %g, whose square would leave float32: all are "
            "divided by 2^%d, and the result is that of the features as they are",
            largest->path, largest->most, in->exponent);
    for (int i = 0; i < 2; i++)
        for (int k = 0; st == OK && splits[i]->N && k < in->K; k++) {
            Space *s = &splits[i]->space[k];
            if (ldexp(s->most, -in->exponent) > 0x1p60)
                st = fail(
                    err, ERR_FORMAT,
                    "features: %s: the largest magnitude is %g, that of the training split %g: "
                    "too far apart for float32",
                    s->path, s->most, largest->most);
            else st = space_scale(s, in->exponent, err);
        }
    return st;
}

static Status check_ranges(Inputs *in, int purpose, const TurtleHooks *hooks, Error *err) {
    const SpaceUse use = purpose & INPUTS_GRADIENTS ? SPACE_GRADIENTS : SPACE_LINEAR;
    Status st = OK;
    if (purpose & INPUTS_SCALABLE) return scale_all(in, hooks, err);
    for (int k = 0; st == OK && in->train.N && k < in->K; k++)
        st = space_check_range(&in->train.space[k], use, hooks, err);
    for (int k = 0; st == OK && in->val.N && k < in->K; k++)
        st = space_check_range(&in->val.space[k], SPACE_LINEAR, hooks, err);
    return st;
}

/* Opens the splits that the call needs, from memory, a data set or files. */
static Status splits_open(Inputs *out, const TurtleInputs *w, const TurtleCommon *common,
                          int purpose, Error *err) {
    const bool training = purpose & INPUTS_TRAINING;
    Status st = OK;
    if (w->Z.count) {
        if (w->val_Z.count)
            st = memory_split_open(&out->val, "val_", &w->val_Z, w->val_y_true, &out->labels,
                                   &common->hooks, err);
        if (st == OK && (training || out->val.N == 0))
            st = memory_split_open(&out->train, "", &w->Z, w->y_true, &out->labels, &common->hooks,
                                   err);
    } else if (w->dataset) {
        st = dataset_split_open(&out->val, w, common, purpose, out, err);
        if (st == OK && (training || out->val.N == 0))
            st = dataset_split_open(&out->train, w, common, purpose, out, err);
    } else {
        if (w->val_features.count)
            st = given_split_open(&out->val, &w->val_features, w->val_labels, &out->labels,
                                  &common->hooks, err);
        if (st == OK && (training || out->val.N == 0))
            st = given_split_open(&out->train, &w->features, w->labels, &out->labels,
                                  &common->hooks, err);
    }
    return st;
}

Status inputs_open(Inputs *out, const TurtleInputs *w, const TurtleCommon *common, int purpose,
                   Error *err) {
    *out = (Inputs){.train.name = "train", .val.name = "val"};
    Status st = check_wanted(w, err);
    if (st != OK) goto out;
    const TurtleTexts *names = w->dataset ? &w->phis : &w->features;
    out->K = w->Z.count ? w->Z.count : names->count;
    out->dataset = format_text("%s", w->dataset ? w->dataset : "features");
    out->phis = w->Z.count ? format_text("memory") : join_names(names);
    if (!out->dataset || !out->phis) {
        st = fail(err, ERR_MEMORY, "inputs: out of memory");
        goto out;
    }
    st = splits_open(out, w, common, purpose, err);
    if (st == OK && out->train.N && out->val.N) { /* both have the same encoders */
        int64_t d[MAX_SPACES];
        for (int k = 0; k < out->K; k++) d[k] = out->train.space[k].features.d;
        st = split_check_dimensions(&out->val, out->K, d, "the training split", err);
    }
    if (st == OK) st = check_ranges(out, purpose, &common->hooks, err);
    if (st == OK) st = labels_number(out, purpose, &common->hooks, err);
    const DatasetFacts *facts = w->dataset ? dataset_find(w->dataset) : NULL;
    out->C = w->classes ? w->classes : facts ? facts->classes : 0;
out:
    if (st != OK) inputs_close(out);
    return st;
}

void inputs_close(Inputs *in) {
    if (!in) return;
    split_close(&in->train);
    split_close(&in->val);
    label_table_free(&in->labels);
    free(in->dataset);
    free(in->phis);
    *in = (Inputs){0};
}

Status inputs_check_classes(const Inputs *in, int64_t C, Error *err) {
    const Split *train = &in->train;
    if (C < 2) return fail(err, ERR_ARG, "classes: %lld: at least 2 are needed", (long long)C);
    if (train->N && C > train->N)
        return fail(err, ERR_ARG, "classes: %lld are more than the %lld samples of %s",
                    (long long)C, (long long)train->N, train->space[0].path);
    return OK;
}
