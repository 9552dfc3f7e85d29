/* inputs.h - the features and labels of a run: found, mapped and checked. */
#ifndef TURTLE_HOST_INPUTS_INPUTS_H
#define TURTLE_HOST_INPUTS_INPUTS_H

#include "host/inputs/label_file.h"
#include "host/inputs/space.h"
#include "host/turtle.h"
#include "io/arrays/npy.h"
#include "kernels/train.h"

/* The samples of a training or a validation split. */
typedef struct {
    const char *name; /* "train" or "val" */
    int64_t N;        /* 0: the split does not exist */
    Space space[MAX_SPACES];
    int64_t *y_true; /* (N) number of each sample's label in Inputs.labels, or LABEL_UNKNOWN; NULL
                          where no label is known; owned */
    int64_t unlabelled; /* samples of a file of labels whose label is not known */
    char *labels_path;  /* the file of labels, or NULL; owned */
    LabelFacts labels;  /* facts of the file of labels */
} Split;

typedef struct {
    int K;
    int64_t C;     /* 0 if neither asked for nor known */
    char *dataset; /* for file names and reports; owned */
    char *phis;    /* names of the spaces, joined by '_'; owned */
    int exponent;  /* features were divided by 2^exponent, the same one in all spaces and splits */
    Split train, val;
    LabelTable labels; /* distinct labels of both splits; C does not depend on their number */
} Inputs;

enum {
    INPUTS_TRAINING = 1,
    INPUTS_SCORING = 2,
    INPUTS_LEARNING = 4,
    INPUTS_NAMES = 8,
    INPUTS_SCALABLE = 16,
    INPUTS_GRADIENTS = 32
};

/* Opens what a call needs: INPUTS_TRAINING the training split, and the validation split where there
 * is one; INPUTS_SCORING the validation split, else the training split. With INPUTS_LEARNING it is for
 * the caller to say that labels are missing, and with INPUTS_NAMES, where labels index names, which of
 * them are no class. Features whose squares would leave float32 are divided by 2^exponent with
 * INPUTS_SCALABLE, whose caller undoes it; without, features beyond the range of their use are refused
 * (space.h; INPUTS_GRADIENTS: gradient steps). Refuses, naming the file: anything but a (N,d) matrix,
 * spaces of different N, a NaN or infinite feature (row and column), files of another number of
 * labels. No label is refused: labels are names of classes, which are numbered through one table of
 * both splits. On failure *out is zeroed. */
Status inputs_open(Inputs *out, const TurtleInputs *wanted, const TurtleCommon *common, int purpose,
                   Error *err);
void inputs_close(Inputs *in); /* NULL and twice are fine */

/* Returns what --precision auto is for these features on a device whose own precision is `device`:
 * just that, but tf32 in place of fp16 where a feature of the training split is beyond 2^25. */
const char *inputs_precision(const Inputs *in, const char *device);
/* Refuses features beyond 2^25 where fp16 was asked for; where the device `scales` none by a power
 * of two, those beyond float16. */
Status inputs_check_float16(const Inputs *in, bool scales, Error *err);

/* Refuses C unless 2 <= C <= N of the training split. */
Status inputs_check_classes(const Inputs *in, int64_t C, Error *err);
/* Refuses a split in which a space's dimension is not what the model of K spaces wants. */
Status split_check_dimensions(const Split *split, int K, const int64_t *d, const char *model,
                              Error *err);

#endif
