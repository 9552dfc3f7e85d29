/* pictures.h - a batch of random pictures for an encoder on a GPU: its features' check, and its predicted time.
 * bench-encoders and bench-layers share it. */
#ifndef TURTLE_BENCH_PROGRAMS_PICTURES_H
#define TURTLE_BENCH_PROGRAMS_PICTURES_H

#include "host/encode/encoder.h"
#include "kernels/plan/devices.h"
#include "kernels/plan/paper.h"

typedef struct {
    Encoder *encoder;
    int64_t B;
    int side;
    Precision precision;
    void *pixels;    /* (B,side,side,3): uint8, or floats of 0 to 1 where the encoder takes these */
    float *features; /* (2,B,d): batches that follow each other write to one half each */
} Pictures;

/* Opens the encoder and draws the pictures, equal in every program run. Returns ERR_MEMORY where the device has no
 * memory for B pictures. pictures_close is due after a failure, too. */
Status pictures_open(Pictures *out, const Ops *ops, const char *weights, int64_t B,
                     Precision precision, Error *err);
void pictures_close(Pictures *b);
int64_t pictures_features(const Pictures *b); /* numbers of a batch's features */

/* Compares the features of the first pictures with those of the CPU in float32: 1e-4 of their size. */
Status pictures_check_cpu(const Pictures *b, const char *weights, int threads, Error *err);
/* Writes images.npy (B,side,side,3), normalised, and features.npy (B,d) to the folder. */
Status pictures_write(const Pictures *b, const char *folder, Error *err);
/* Compares the features with features.npy of the folder: 0.02 of their size in float16, 0.1 in bfloat16. */
Status pictures_check(const float *features, int64_t n, Precision precision, const char *folder,
                      Error *err);

/* Notes the launches of one batch of B pictures on paper. */
Status pictures_note(Paper *out, const char *weights, int64_t B, Precision precision, Error *err);
double paper_flops(const Paper *paper);
/* Fills in the GPU that `ops` has opened, with the rates of its nearest relative in the table. Returns false if it is
 * not there. */
bool planned_device(PlanDevice *out, const Ops *ops);

#endif
