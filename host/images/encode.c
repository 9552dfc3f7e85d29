/* encode.c - turtle_encode: pictures of the caller's memory into features in the caller's array. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/images/feature_options.h"
#include "host/images/pipeline.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"

void turtle_encode_defaults(TurtleEncodeOptions *o) {
    *o = (TurtleEncodeOptions){.common = common_defaults(), .feature = "cls", .orient = "none"};
}

void turtle_encode_result_free(TurtleEncodeResult *r) {
    if (!r) return;
    free(r->json);
    *r = (TurtleEncodeResult){0};
}

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "encode: out of memory");
}

/* --- what was given --------------------------------------------------------------------------- */

static Status check_pictures(const TurtlePictures *p, Error *err) {
    if (p->count < 1 || !p->rgb == !p->file)
        return fail(err, ERR_ARG,
                    "encode: expected 1 picture or more, as rgb or as files, got %lld with %s",
                    (long long)p->count,
                    p->rgb    ? "rgb and files"
                    : p->file ? "files"
                              : "neither");
    if (p->rgb && (p->height < 1 || p->width < 1 || p->height > IMAGE_MAX_SIDE ||
                   p->width > IMAGE_MAX_SIDE || p->height * p->width > IMAGE_MAX_PIXELS ||
                   p->count > INT64_MAX / 3 / (p->height * p->width)))
        return fail(err, ERR_ARG,
                    "encode: %lld pictures of %lld x %lld: expected sides of 1 to %d, and at most "
                    "%d pixels",
                    (long long)p->count, (long long)p->width, (long long)p->height, IMAGE_MAX_SIDE,
                    IMAGE_MAX_PIXELS);
    for (int64_t i = 0; p->file && i < p->count; i++)
        if (!p->file[i].data || p->file[i].bytes < 1)
            return fail(err, ERR_ARG, "encode: picture %lld has no bytes", (long long)i);
    return OK;
}

static Status check_options(const TurtleEncodeOptions *o, EncoderOptions *encoder, bool *orient,
                            Error *err) {
    *encoder = (EncoderOptions){.given = o->encoder,
                                .image_size = o->image_size,
                                .normalize = o->normalize,
                                .batch = o->batch_size,
                                .images = o->pictures.count,
                                .whole = true};
    Status st = common_check(&o->common, err);
    if (st != OK) return st;
    if (!o->feature || !o->orient)
        return fail(err, ERR_USAGE,
                    "encode: feature and orient are texts, not NULL: begin with the defaults");
    if (!o->weights)
        return fail(err, ERR_USAGE, "encode: which encoder? give weights, a file of them");
    if (o->batch_size < 0 || o->batch_size > MOST_BATCH)
        return fail(err, ERR_USAGE, "encode: batch_size %lld: expected 0 to %d",
                    (long long)o->batch_size, MOST_BATCH);
    if (o->type != TURTLE_FLOAT32 && o->type != TURTLE_FLOAT16)
        return fail(err, ERR_ARG, "encode: type %d: expected TURTLE_FLOAT32 or TURTLE_FLOAT16",
                    (int)o->type);
    st = feature_kind_parse(&encoder->feature, o->feature, err);
    if (st == OK) st = orient_parse(orient, o->orient, err);
    if (st == OK && o->features) st = check_pictures(&o->pictures, err);
    if (o->features && encoder->batch > o->pictures.count) encoder->batch = o->pictures.count;
    return st;
}

/* Finds how many numbers an image has, from names and shapes of tensors alone. */
static Status find_dims(const char *path, FeatureKind feature, int64_t *dims, Error *err) {
    Weights w;
    EncoderShape shape;
    Status st = weights_open(&w, NULL, NULL, path, err);
    if (st != OK) return st;
    st = encoder_shape(&shape, &w);
    if (st == OK) *dims = feature == FEATURE_CLS_MEAN ? 2 * shape.features : shape.features;
    weights_close(&w);
    return st;
}

/* --- batches ---------------------------------------------------------------------------------- */

typedef struct {
    const TurtleEncodeOptions *options;
    Encoder *encoder;
    Precision precision; /* of its products */
    Loading loading;
    int64_t d, next; /* numbers of a picture; pictures before `next` are taken */
    double started;
} Encoding;

static int64_t next_pictures(void *context, int64_t *n) {
    Encoding *e = context;
    const int64_t first = e->next, left = e->options->pictures.count - first,
                  batch = encoder_batch(e->encoder);
    *n = left < batch ? left : batch;
    e->next += *n;
    return first;
}

/* Lets a bad picture end the call. */
static Status check_picture(void *context, const Loaded *loaded, int64_t picture, Error *err) {
    (void)context, (void)picture; /* the message names it */
    if (loaded->status != OK) error_write(err, "%s", loaded->err.text);
    return loaded->status;
}

/* Writes n rows from row `first` on into the caller's array. */
static Status put(const Encoding *e, const float *features, int64_t first, int64_t n, Error *err) {
    const TurtleEncodeOptions *o = e->options;
    for (int64_t i = 0; i < n * e->d; i++) {
        const float x = features[i];
        const bool fits = o->type == TURTLE_FLOAT32 || !isinf(f32_from_f16(f16_from_f32(x)));
        if (!isfinite(x) || !fits)
            return fail(err, ERR_FORMAT, "encode: %s: picture %lld has feature %g in %s: %s",
                        o->weights, (long long)(first + i / e->d), (double)x,
                        precision_name(e->precision),
                        isfinite(x) ? "an array of float16 does not hold it, one of float32 does"
                                    : precision_advice(e->precision));
    }
    if (o->type == TURTLE_FLOAT32) {
        memcpy((float *)o->features + first * e->d, features,
               (size_t)(n * e->d) * sizeof *features);
    } else {
        uint16_t *half = (uint16_t *)o->features + first * e->d;
        for (int64_t i = 0; i < n * e->d; i++) half[i] = f16_from_f32(features[i]);
    }
    return OK;
}

static Status put_portion(void *context, const Portion *p, Error *err) {
    const Encoding *e = context;
    const TurtleHooks *hooks = &e->options->common.hooks;
    const int64_t done = p->first + p->n, count = e->options->pictures.count;
    const TurtleProgress progress = {.unit = "images",
                                     .iteration = done,
                                     .iterations = count,
                                     .seconds = now_seconds() - e->started,
                                     .loss = NAN,
                                     .entropy = NAN,
                                     .cluster_acc = NAN};
    const Status st = put(e, p->features, p->first, p->n, err);
    if (st == OK && progress_tell(hooks, &progress) && done < count)
        return fail(err, ERR_STOPPED, "encode: stopped after %lld of %lld images", (long long)done,
                    (long long)count);
    return st;
}

static Status run(Encoding *e, Error *err) {
    Pipeline p = {.encoder = e->encoder,
                  .how = &e->loading,
                  .pictures = &e->options->pictures,
                  .context = e,
                  .next = next_pictures,
                  .check = check_picture,
                  .take = put_portion};
    e->started = now_seconds();
    Status st = pipeline_open(&p, err);
    if (st == OK) st = pipeline_run(&p, err);
    pipeline_close(&p);
    return st;
}

/* --- a call ----------------------------------------------------------------------------------- */

static Status encode(const TurtleEncodeOptions *o, EncoderOptions *options, bool orient,
                     TurtleEncodeResult *out, Error *err) {
    Encoding e = {.options = o};
    Ops ops = {0};
    const char *why = NULL;
    Status st = ops_open(&ops, o->common.device, o->common.threads, &why, err);
    if (st == OK && why) notice(&o->common.hooks, "device: %s", why);
    if (st == OK) st = encoder_precision(&options->precision, o->common.precision, &ops, err);
    e.precision = options->precision;
    if (st == OK) st = encoder_open(&e.encoder, &ops, o->weights, options, err);
    if (st == OK) {
        notices(&o->common.hooks, encoder_said(e.encoder));
        e.loading = (Loading){.rule = encoder_known(e.encoder)->rule,
                              .whole = encoder_picture_bytes(e.encoder),
                              .orient = orient,
                              .threads = ops.threads,
                              .ahead = loads_ahead(&ops)};
        e.d = encoder_features(e.encoder);
        /* the caller's array has the rows that names and shapes of tensors promised */
        st = e.d == out->dims ? run(&e, err)
                              : fail(err, ERR_FORMAT,
                                     "encode: %s gives %lld numbers per picture, and its tensors "
                                     "said %lld",
                                     o->weights, (long long)e.d, (long long)out->dims);
        out->images = o->pictures.count;
        snprintf(out->device, sizeof out->device, "%s", ops.kind);
    }
    encoder_close(e.encoder);
    ops_close(&ops);
    return st;
}

static char *result_json(const TurtleEncodeOptions *o, Precision precision,
                         const TurtleEncodeResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "encode", &o->common, *r->device ? r->device : NULL,
                o->features ? precision_name(precision) : NULL);
    json_real(&j, "seconds", r->seconds);
    json_text(&j, "weights", o->weights);
    json_text(&j, "feature", o->feature);
    json_bool(&j, "normalize", o->normalize);
    json_integer(&j, "images", r->images);
    json_integer(&j, "dims", r->dims);
    json_real(&j, "images_per_s", r->images_per_s);
    json_close(&j);
    return json_take(&j);
}

Status turtle_encode(const TurtleEncodeOptions *o, TurtleEncodeResult *out, Error *err) {
    PLAIN_LOCALE;
    EncoderOptions options;
    bool orient = false;
    const double started = now_seconds();
    *out = (TurtleEncodeResult){0};
    Status st = check_options(o, &options, &orient, err);
    if (st == OK) st = find_dims(o->weights, options.feature, &out->dims, err);
    if (st == OK && o->features && o->dims != out->dims)
        st = fail(err, ERR_ARG, "encode: %s gives %lld numbers per picture, but dims is %lld",
                  o->weights, (long long)out->dims, (long long)o->dims);
    if (st == OK && o->features) st = encode(o, &options, orient, out, err);
    if (st == OK) {
        out->seconds = now_seconds() - started;
        out->images_per_s = out->seconds > 0 ? (double)out->images / out->seconds : 0.0;
        out->json = result_json(o, options.precision, out);
        if (!out->json) st = out_of_memory(err);
    }
    if (st != OK) turtle_encode_result_free(out);
    return st;
}
