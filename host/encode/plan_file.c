/* plan_file.c - turtle_plan: how an iteration, or a batch of images, would run on a GPU.
 *
 * An encoder is opened on a device on paper (kernels/plan/paper.h) and run once. So the launches are those that
 * `features` enqueues, and no second description of a network can differ from them. It starts at squares: how long the
 * resize takes, and how many bytes cross the bus for it, depends on the sizes of the pictures.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/encoder.h"
#include "host/tell/json.h"
#include "host/tell/lines.h"
#include "host/tell/locale.h"
#include "host/tell/plan_report.h"
#include "kernels/plan/model_encode.h"

void turtle_plan_defaults(TurtlePlanOptions *o) {
    *o = (TurtlePlanOptions){
        .device = "auto", .precision = "fp16", .batch_size = 10000, .classes = 10, .M = 10};
}

/* One batch of an encoder, as it was noted. */
typedef struct {
    Paper paper;
    PlanDevice device;
    char name[160];
    int64_t batch;
    int64_t pixel_bytes; /* bytes of a batch's pictures, as they come from the host */
    const char *precision;
} Noted;

/* Opens the encoder on paper and notes the launches of one batch. */
static Status note_batch(Noted *n, const TurtlePlanOptions *o, Error *err) {
    EncoderOptions options = {.given = o->encoder, .image_size = o->image_size, .batch = o->images};
    Ops ops = {0};
    Encoder *e = NULL;
    int resize, side;
    int64_t mark;
    if (o->images < 0 || o->images > 1 << 16)
        return fail(err, ERR_USAGE, "plan: images %" PRId64 ": expected 0 to 65536", o->images);
    Status st = paper_open(&ops, &n->paper, err);
    if (st == OK) st = encoder_precision(&options.precision, o->precision, &ops, err);
    if (st == OK) st = encoder_open(&e, &ops, o->weights, &options, err);
    if (st == OK) {
        encoder_describe(n->name, encoder_info(e));
        encoder_image_size(e, &resize, &side);
        n->batch = encoder_batch(e);
        n->pixel_bytes = 3 * n->batch * side * side;
        if (encoder_known(e)->rule.weights == RESIZE_FLOATS)
            n->pixel_bytes *= (int64_t)sizeof(float);
        n->precision = precision_name(options.precision);
        const int64_t numbers = 3 * n->batch * side * side;
        void *pixels = calloc((size_t)numbers, sizeof(float));
        n->paper.noting = true;
        st = pixels ? encoder_start(e, NULL, pixels, n->batch, &mark, err)
                    : fail(err, ERR_MEMORY,
                           "plan: this machine has no memory for %" PRId64
                           " images of %d x %d: take fewer (--images)",
                           n->batch, side, side);
        free(pixels);
    }
    if (st == OK && n->paper.too_many)
        st = fail(err, ERR_ARG, "plan: %s: more than %d kinds of launches", o->weights,
                  PAPER_MOST_LAUNCHES);
    encoder_close(e);
    ops_close(&ops);
    return st;
}

static void shape_text(char text[64], const Launch *l) {
    switch (l->kind) {
    case LAUNCH_PRODUCT:
        snprintf(text, 64, "%" PRId64 " x %" PRId64 " x %" PRId64, l->rows, l->out, l->depth);
        break;
    case LAUNCH_ATTENTION:
        snprintf(text, 64, "%" PRId64 " x %" PRId64 " x %" PRId64 ", %" PRId64 " keys", l->rows,
                 l->heads, l->width, l->keys);
        break;
    case LAUNCH_ELEMENTS: snprintf(text, 64, "%" PRId64 " x %" PRId64, l->rows, l->out); break;
    }
}

/* Returns the part of a launch's time that is lost to its ends, its padding, its last wave and the way to the next. */
static double lost_s(const LaunchTime *t, double node_s) {
    return t->prologue_s + t->epilogue_s + t->wave_s + t->padding_s + node_s;
}

static void add_launch(char **text, Json *j, const Launch *l, const LaunchTime *t, double node_s) {
    char shape[64];
    const double lost = lost_s(t, node_s);
    shape_text(shape, l);
    add_line(text,
             "%-12s %-28s %5" PRId64
             " %9.1f %9.1f %9.1f %9.1f %8.1f %8.1f %8.1f %8.1f %5.0f%%  %s\n",
             l->operation, shape, l->times, 1e6 * t->seconds, 1e6 * t->floor_s, 1e-6 * l->bytes,
             1e-9 * l->flops, 1e6 * t->prologue_s, 1e6 * t->epilogue_s, 1e6 * t->wave_s,
             1e6 * t->padding_s, 100.0 * lost / t->seconds, t->roof);
    json_open(j, NULL);
    json_text(j, "operation", l->operation);
    json_text(j, "shape", shape);
    json_integer(j, "times", l->times);
    json_real(j, "microseconds", 1e6 * t->seconds);
    json_real(j, "bytes", l->bytes);
    json_real(j, "flops", l->flops);
    json_real(j, "prologue_us", 1e6 * t->prologue_s);
    json_real(j, "epilogue_us", 1e6 * t->epilogue_s);
    json_real(j, "last_wave_us", 1e6 * t->wave_s);
    json_real(j, "padding_us", 1e6 * t->padding_s);
    json_real(j, "floor_us", 1e6 * t->floor_s);
    json_real(j, "lost", lost / t->seconds);
    json_text(j, "roof", t->roof);
    json_close(j);
}

/* Adds a line of the operations' parts of the time, in the order in which they first come. */
static void add_parts(char **text, const Noted *n, double seconds) {
    const Paper *p = &n->paper;
    add_line(text, "parts    ");
    for (int i = 0; i < p->count; i++) {
        double part = 0.0;
        int first = 0;
        while (strcmp(p->launch[first].operation, p->launch[i].operation) != 0) first++;
        if (first < i) continue;
        for (int k = i; k < p->count; k++)
            if (strcmp(p->launch[k].operation, p->launch[i].operation) == 0)
                part +=
                    (double)p->launch[k].times * model_launch(&n->device, &p->launch[k]).seconds;
        add_line(text, "%s%s %.1f %%", i ? ", " : "", p->launch[i].operation,
                 100.0 * part / seconds);
    }
    add_line(text, "\n");
}

/* Tells the sum of a batch: its rate, what is lost, how busy the GPU is, and how far the prediction may be off. */
static void add_sum(char **text, Json *j, const Noted *n) {
    LaunchTime sum = {0};
    double flops = 0.0, low, high;
    int64_t launches = 0;
    for (int i = 0; i < n->paper.count; i++) {
        const Launch *l = &n->paper.launch[i];
        const LaunchTime t = model_launch(&n->device, l);
        const double times = (double)l->times;
        launches += l->times;
        flops += times * l->flops;
        sum.floor_s += times * t.floor_s;
        sum.prologue_s += times * t.prologue_s;
        sum.epilogue_s += times * t.epilogue_s;
        sum.wave_s += times * t.wave_s;
        sum.padding_s += times * t.padding_s;
    }
    const double seconds = model_batch_s(&n->device, &n->paper), images = (double)n->batch,
                 between = (double)launches * n->device.node_s, lost = lost_s(&sum, between),
                 busy = 1.0 - between / seconds, bus = (double)n->pixel_bytes / seconds;
    model_batch_range(&low, &high, &n->device, &n->paper);
    add_line(text,
             "\na batch  %.3f ms: %.0f images/s, between %.0f and %.0f; %.0f TFLOP/s; %" PRId64
             " launches; roofs alone %.3f ms\n",
             1e3 * seconds, images / seconds, images / high, images / low, 1e-12 * flops / seconds,
             launches, 1e3 * sum.floor_s);
    add_parts(text, n, seconds);
    add_line(text,
             "lost     %.3f ms: %.3f before first products, %.3f behind last ones, %.3f in last "
             "waves, %.3f in padding, %.3f from launch to launch\n"
             "busy     %.1f %% of a batch with resized pictures at hand, which take %.2f GB/s of "
             "the bus\n",
             1e3 * lost, 1e3 * sum.prologue_s, 1e3 * sum.epilogue_s, 1e3 * sum.wave_s,
             1e3 * sum.padding_s, 1e3 * between, 100.0 * busy, 1e-9 * bus);
    json_real(j, "predicted_ms", 1e3 * seconds);
    json_real(j, "least_ms", 1e3 * low);
    json_real(j, "most_ms", 1e3 * high);
    json_real(j, "floor_ms", 1e3 * sum.floor_s);
    json_real(j, "lost_ms", 1e3 * lost);
    json_real(j, "prologue_ms", 1e3 * sum.prologue_s);
    json_real(j, "epilogue_ms", 1e3 * sum.epilogue_s);
    json_real(j, "last_wave_ms", 1e3 * sum.wave_s);
    json_real(j, "padding_ms", 1e3 * sum.padding_s);
    json_real(j, "between_launches_ms", 1e3 * between);
    json_real(j, "busy", busy);
    json_real(j, "bus_bytes_per_s", bus);
    json_real(j, "images_per_s", images / seconds);
    json_real(j, "flops", flops);
    json_integer(j, "launch_count", launches);
}

static Status plan_encoder(const TurtlePlanOptions *o, char **text, char **json, Error *err) {
    Noted *n = calloc(1, sizeof *n);
    Status st = n ? plan_report_device(&n->device, o->device, err)
                  : fail(err, ERR_MEMORY, "plan: out of memory");
    if (st == OK) st = note_batch(n, o, err);
    if (st != OK) {
        free(n);
        return st;
    }
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "command", "info");
    json_text(&j, "version", turtle_version());
    json_text(&j, "device", n->device.name);
    json_text(&j, "precision", n->precision);
    json_text(&j, "weights", o->weights);
    json_text(&j, "encoder", n->name);
    json_integer(&j, "batch_size", n->batch);
    json_integer(&j, "device_bytes", n->paper.most);
    add_line(text, "device   %s: %d SMs\nencoder  %s, %s, %" PRId64 " images at a time, %.2f GB\n",
             n->device.name, n->device.sms, n->name, n->precision, n->batch,
             1e-9 * (double)n->paper.most);
    add_line(text, "\n%-12s %-28s %5s %9s %9s %9s %9s %8s %8s %8s %8s %6s  %s\n", "predicted",
             "shape", "times", "us", "floor us", "MB", "GFLOP", "begin us", "end us", "wave us",
             "pad us", "lost", "roof");
    json_open_array(&j, "launches");
    for (int i = 0; i < n->paper.count; i++) {
        const LaunchTime t = model_launch(&n->device, &n->paper.launch[i]);
        add_launch(text, &j, &n->paper.launch[i], &t, n->device.node_s);
    }
    json_close_array(&j);
    add_sum(text, &j, n);
    json_close(&j);
    *json = json_take(&j);
    free(n);
    return *text && *json ? OK : fail(err, ERR_MEMORY, "plan: out of memory");
}

Status turtle_plan(const TurtlePlanOptions *o, char **text, char **json, Error *err) {
    PLAIN_LOCALE;
    *text = *json = NULL;
    const Status st =
        o->weights ? plan_encoder(o, text, json, err) : plan_report(o, text, json, err);
    if (st == OK) return OK;
    free(*text);
    free(*json);
    *text = *json = NULL;
    return st;
}
