/* turtle.h - TURTLE as a library: the public header, the only one that a caller needs.
 *
 * TURTLE (Gadetsky, Jiang, Brbic: Let Go of Your Labels with Unsupervised Transfer, ICML 2024)
 * finds the human labelling of a data set from features of frozen foundation models and the number
 * of classes, without a label. Every call takes a struct of options whose defaults come from its
 * *_defaults function, returns a status, and writes one line into `err` where it fails. Every name that this header
 * defines begins with turtle_, Turtle or TURTLE_; it compiles as C11 and as C++11.
 *
 * Who owns what
 *   options   Everything that they point to stays the caller's: texts, arrays, models, contexts. It is read until the
 *             call returns and no longer, so it must not change so long. Only turtle_kmeans and turtle_probe copy
 *             features, and turtle_zeroshot where it has to scale huge ones.
 *   results   A call overwrites *out without reading it, so what an earlier call left there is freed first. Fields
 *             marked `owned` belong to the result until its *_free function, which also serves after a failure. Its
 *             other pointers are static texts, or live as long as what the options point to.
 *   err       NULL is fine everywhere.
 *   files     Names are bytes as the system takes them, relative to the folder in which the process is when the call
 *             begins. Files that were read are closed when the call returns.
 *
 * Programs around it. All functions are reentrant: calls may run at once in several threads, and share options, but
 * not results. Nothing is printed, no signal handler or locale is set in the process, nothing ends it, and no state
 * stays between calls. Numbers are read and written with a point whatever the locale is.
 * A program and the library must be of one version while that is 0.x: structures grow. The shared library refuses
 * programs that were linked with another one. TURTLE_VERSION, where installed headers define it, tells which.
 */
#ifndef TURTLE_H
#define TURTLE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/turtle_status.h"

#if defined(__GNUC__)
#define TURTLE_API __attribute__((visibility("default")))
#else
#define TURTLE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A list of texts. */
typedef struct {
    const char **item; /* (count), owned by the caller */
    int count;
} TurtleTexts;

/* Matrices of the caller's, read where they lie. */
typedef enum { TURTLE_FLOAT32 = 0, TURTLE_FLOAT16 } TurtleType;
typedef struct {
    const void *data; /* (rows, dims), one row after the other, in this machine's byte order */
    int64_t rows, dims;
    TurtleType type;
} TurtleMatrix;
typedef struct {
    const TurtleMatrix *item; /* (count), owned by the caller */
    int count;
} TurtleMatrices;

/* --- what a running call tells ---------------------------------------------------------------- */

typedef struct {
    const char *unit;                     /* what is counted: "it" (outer iterations), "images" */
    int64_t first, iteration, iterations; /* units done before this call, done now, in all */
    double seconds;                       /* since counting began */
    double loss, entropy; /* values of the last outer iteration, in nats; see TurtleResult */
    int64_t clusters_found, classes;
    double cluster_acc; /* 0..1; NaN without labels */
} TurtleProgress;

/* Functions of the caller's that a running call calls, in the thread of the call and in its program's locale. A sweep
 * calls them from threads of its own, one at a time. They must return: jumping out of one (longjmp, a C++ exception,
 * cancelling the thread) is forbidden, for memory, locks and threads of the call would be left behind. What they are
 * given is the call's, and lives until they return. They may call the library. */
typedef struct {
    /* Returns 0, or another number to stop the call as `stop` does. NULL: nobody wants to know. */
    int (*progress)(void *context, const TurtleProgress *progress);
    void (*notice)(void *context, const char *line); /* a line worth reading: what was clipped,
                                                        which device was taken and why; or NULL */
    void *context;                     /* handed to both; the call does not look at it */
    const volatile sig_atomic_t *stop; /* non-zero: finish the iteration, save the state, return
                                          TURTLE_ERR_STOPPED; or NULL */
} TurtleHooks;

/* --- options shared by all calls -------------------------------------------------------------- */

typedef struct {
    const char *root_dir;  /* "data", or the environment variable TURTLE_DATA */
    const char *device;    /* "auto": a usable GPU, else the CPU; "cpu", "cuda", "cuda:N" */
    const char *precision; /* operands in training and encoders: "auto" (fp32 on the CPU, fp16 on a
                                 GPU), "fp32"; "fp16": batches of float16, products of them on a
                                 GPU; "bf16": products of bfloat16; "tf32": training on a GPU */
    uint64_t seed;         /* 42 */
    int threads;           /* 0: every core the process may use; results do not depend on it */
    const char *command_line; /* kept in run.json; NULL: not from a command line */
    TurtleHooks hooks;        /* none */
} TurtleCommon;

/* Source of the features: a data set under root_dir, or files. */
typedef struct {
    const char *dataset;      /* representations/<phi>/<dataset>_{train,val}.npy, labels/... */
    TurtleTexts phis;         /* names of the representations, one per space */
    TurtleTexts features;     /* (N,d) of the training split, one per space: .npy, .npz, .pt,
                                 .safetensors, or file:name (io/arrays/array_file.h) */
    TurtleTexts val_features; /* (N,d) of the validation split, one per space, or none */
    /* Labels of the training split, one per sample, .npy or text: numbers or names; -1, NaN or nothing
     * where unknown (host/inputs/label_file.h). NULL: none. */
    const char *labels;
    const char *val_labels; /* labels of the validation split */
    /* Memory in place of data set and files: Z (N,d) of the training split, one matrix per space; val_Z
     * of the validation split, or none; labels (N) of both, -1 where unknown, or NULL. */
    TurtleMatrices Z, val_Z;
    const int64_t *y_true, *val_y_true;
    int64_t classes; /* C; 0: the data set's own */
} TurtleInputs;

/* A labelling: the softmax of a linear layer per space, averaged over spaces. */
typedef struct {
    int64_t spaces, classes;
    int64_t *dims;  /* (spaces) */
    float **linear; /* (spaces) weights (classes, dims), then biases (classes) */
} TurtleModel;

/* Centres of k-means, in the place where samples are compared with them. Several spaces stand side by side there,
 * each with rows of length 1; with `spherical` whole rows have length 1. Centre c is mean + center[c]. */
typedef struct {
    int64_t spaces, classes;
    int64_t *dims; /* (spaces) */
    bool spherical;
    float *mean;   /* (sum of dims) mean of the samples that were clustered; 0 if spherical */
    float *center; /* (classes, sum of dims) */
} TurtleCenters;

/* --- training --------------------------------------------------------------------------------- */

typedef struct {
    TurtleCommon common;
    TurtleInputs inputs;
    double gamma;            /* 10: weight of the entropy term */
    int64_t T;               /* 6000 outer iterations */
    int64_t M;               /* 10 inner steps in each */
    double inner_lr;         /* 0.001 */
    double outer_lr;         /* 0.001 */
    int64_t batch_size;      /* 10000; clipped to the number of samples */
    bool warm_start;         /* false: fresh heads in every outer iteration */
    const char *prior;       /* "uniform"; "power:A", class c has a share ~ (c+1)^-A; or a file of C
                           positive numbers: how large the classes are expected to be */
    const char *rng;         /* "philox", or "torch": the published implementation's streams */
    int64_t eval_every;      /* 20 iterations; 0: only at the end */
    int64_t save_every;      /* 500 iterations between states that `resume` can continue; 0: none */
    bool resume;             /* continue an unfinished run, bit-identical to an uninterrupted one */
    bool restart;            /* throw an unfinished run away */
    bool cross_val;          /* at the end compute generalization_score */
    const char *out;         /* run directory; NULL: root_dir/task_checkpoints/..., of Z none */
    bool soft_labels;        /* fill TurtleResult.probability in */
    const char *predictions; /* a file as in TurtleEvaluateOptions, of the validation split, else
                                  of the training split; NULL: do not write it */
    const char *probabilities; /* a file as in TurtleEvaluateOptions, of that split */
    const char *inner;         /* "auto"; "unfused", "fused", "mega": the inner loop on a GPU */
    bool profile;              /* time every kernel: TurtleResult.profile */
    const char *profile_range; /* "A:B": a profiler records iterations A to B; or NULL */
} TurtleTrainOptions;

/* --- evaluation ------------------------------------------------------------------------------- */

typedef struct {
    TurtleCommon common;
    TurtleInputs inputs;
    const char *ckpt_path;    /* a checkpoint, or a folder {1space,2space}/<phis>/<dataset>.pt */
    const TurtleModel *model; /* the labelling itself, in place of a checkpoint; or NULL */
    bool soft_labels;         /* fill TurtleResult.probability in */
    /* A file of lines path,cluster,confidence,margin, or where the name ends in .npy of the clusters,
     * int64 (N). NULL: do not write it. */
    const char *predictions;
    /* A file of the soft labels, .npy, float32 (N,C). NULL: do not write it. */
    const char *probabilities;
    /* A file of names that people gave to clusters (io/text/cluster_names.h): equal names merge clusters,
     * an empty one leaves a cluster out. `predictions` gets a last column, name. NULL: there are none. */
    const char *cluster_names;
} TurtleEvaluateOptions;

enum { TURTLE_TYPICAL = 3 };

/* One cluster as people look at it. Texts hold whatever the files held. */
typedef struct {
    int64_t size;      /* samples in it */
    double confidence; /* mean probability of the cluster over its samples; NaN without one */
    int64_t typical[TURTLE_TYPICAL]; /* rows of the most confident samples, the first one most; -1:
                                           there are fewer */
    char *typical_name[TURTLE_TYPICAL]; /* their lines in the image list; NULL: no list; owned */
    char *name; /* from cluster_names, "" where it is left out; NULL: no names were given; owned */
} TurtleCluster;

/* Scores of the groups that cluster_names makes of the clusters, on labelled samples of clusters that
 * are not left out. Each class is matched with at most one group, and each group with at most one class. */
typedef struct {
    int64_t groups;   /* different names, without the empty one; -1: no names were given */
    int64_t left_out; /* samples in clusters that are left out */
    double cluster_acc, mean_class_acc, nmi, ari; /* NaN without labels */
} TurtleNamedScores;

/* Findings of training and evaluation; NaN or -1 where unknown. */
typedef struct {
    const char *split; /* "val" or "train": which samples were scored */
    int64_t samples, classes, clusters_found;
    int64_t unlabelled;     /* samples of `split` that its labels do not know: left out of scores */
    int64_t *cluster_sizes; /* (classes) samples of `split` in each cluster; owned */
    TurtleCluster *clusters; /* (classes) the clusters of `split`; owned */
    TurtleNamedScores named;
    int64_t *cluster_of; /* (samples) cluster of each sample of `split`; owned */
    float *probability;  /* (samples, classes) soft labels Y of `split`, if asked for; owned */
    int64_t *train_cluster_of; /* (train_samples) of the training split, by training; owned */
    int64_t train_samples;
    TurtleModel model; /* what a training found; after evaluation empty; owned */
    double cluster_acc, mean_class_acc, nmi, ari, train_cluster_acc;
    double loss;    /* last outer cross-entropy, summed over spaces, nats */
    double entropy; /* entropy of the batch-mean label, summed over spaces, nats */
    /* least share of samples on which one space's own labelling is the joint one: low is a
     * label-free sign of a bad run; NaN for one space */
    double space_agreement;
    /* accuracy of linear classifiers on samples of the training split whose found classes they were
     * not shown (10 folds), mean over spaces: ranks runs without labels; NaN if not asked for */
    double generalization_score;
    int64_t iterations;
    double seconds;
    char device[16];
    char *checkpoint;  /* path; owned */
    char *predictions; /* paths of CSV files that a training wrote, a line each; or NULL; owned */
    char *line;        /* the line the published implementation prints; owned */
    char *profile;     /* table of kernels, if asked for; owned */
    char *json;        /* everything above and the options, one JSON object; owned */
} TurtleResult;

TURTLE_API void turtle_train_defaults(TurtleTrainOptions *options);
/* Trains from features to a checkpoint, predictions and scores, all in the run directory.
 * TURTLE_ERR_STOPPED: the state is saved, and `resume` continues it; TURTLE_ERR_DIVERGED: a loss is
 * not finite. */
TURTLE_API TurtleStatus turtle_train(const TurtleTrainOptions *options, TurtleResult *out,
                                     TurtleError *err);
TURTLE_API void turtle_evaluate_defaults(TurtleEvaluateOptions *options);
/* Scores a checkpoint on labelled samples, or applies it to samples without labels. */
TURTLE_API TurtleStatus turtle_evaluate(const TurtleEvaluateOptions *options, TurtleResult *out,
                                        TurtleError *err);
TURTLE_API void turtle_result_free(TurtleResult *result); /* NULL and twice are fine */

/* --- scores of any labelling -------------------------------------------------------------------- */

/* One cluster beside the class that it is matched with. */
typedef struct {
    int64_t cluster, samples; /* its id, and its samples whose class is known */
    int64_t class_id; /* id of the class; -1: no class is left that shares a sample with it */
    int64_t matched;  /* samples of the cluster that are of this class */
} TurtleMatch;

/* Scores of TurtleResult, of any two arrays: each cluster is matched with at most one class, and each class with
 * at most one cluster, so that most samples agree (Hungarian algorithm). */
typedef struct {
    int64_t samples,
        unlabelled; /* samples whose class is known, and the others, which count nowhere */
    int64_t clusters, classes; /* different ids among the former */
    int64_t matched;           /* samples whose cluster is matched with their class */
    double cluster_acc;        /* matched / samples; NaN, as all four, where no class is known */
    double mean_class_acc;     /* mean over classes of the share of their samples that is matched */
    double nmi;                /* mutual information / geometric mean of the entropies */
    double ari;                /* adjusted Rand index */
    TurtleMatch *match;        /* (clusters) by ascending id; owned */
} TurtleScores;

/* Compares clusters (n) with classes y_true (n). Ids are any numbers from 0 up; a class below 0 is not known, a
 * cluster below 0 is refused. Both arrays stay the caller's. */
TURTLE_API TurtleStatus turtle_scores(const int64_t *clusters, const int64_t *y_true, int64_t n,
                                      TurtleScores *out, TurtleError *err);
TURTLE_API void turtle_scores_free(TurtleScores *scores); /* NULL and twice are fine */

/* --- linear probe ----------------------------------------------------------------------------- */

typedef struct {
    TurtleCommon common;
    TurtleInputs inputs; /* one space; the training split's labels are needed */
    double C;            /* 1: inverse strength of the L2 penalty, as scikit-learn's */
    bool validation;     /* choose C by its accuracy on `share` of the training split */
    int64_t Cs;          /* 96 values, log-spaced over 10^-Crange .. 10^Crange */
    double Crange;       /* 6 */
    double share;        /* 0.2, the samples that train_test_split(random_state=seed) holds back */
    int64_t max_iter;    /* 1000 */
    double tol; /* 1e-8 of the mean loss's gradient; the rule stands in host/score/logreg.h */
} TurtleProbeOptions;

typedef struct {
    double train_acc, val_acc; /* NaN without a labelled validation split */
    double validation_acc;     /* the chosen C on the samples held back; NaN: not asked for */
    int64_t unlabelled, val_unlabelled; /* samples without a known label: not learnt, not scored */
    double C;
    double objective;     /* sum of cross-entropies + |W|^2/(2C) */
    double gradient_norm; /* largest derivative of the objective */
    bool converged;       /* the last fit ended at its tolerance, not at max_iter */
    int64_t iterations;   /* iterations of the last fit */
    int64_t classes;      /* classes that occur in the training split */
    TurtleModel model;    /* the regression, for turtle_evaluate; owned */
    char **class_names;   /* (model.classes) label of each of its classes, or NULL; owned */
    double seconds;
    char device[16];
    char *line; /* the line that the published implementation appends to its results; owned */
    char *json; /* owned */
} TurtleProbeResult;

TURTLE_API void turtle_probe_defaults(TurtleProbeOptions *options);
/* Fits a multinomial logistic regression to the features; with a data set it adds a line to
 * root_dir/results/linear_probe.txt. */
TURTLE_API TurtleStatus turtle_probe(const TurtleProbeOptions *options, TurtleProbeResult *out,
                                     TurtleError *err);
TURTLE_API void turtle_probe_result_free(TurtleProbeResult *result); /* NULL and twice are fine */

/* --- k-means, a baseline ----------------------------------------------------------------------- */

typedef struct {
    TurtleCommon common;
    TurtleInputs inputs;
    int64_t n_init;          /* 10 restarts; the one of least inertia counts */
    const char *init;        /* "kmeans++"; "random": distinct samples */
    bool spherical;          /* samples and centres of length 1: clusters by cosine */
    int64_t max_iter;        /* 1000 iterations of each restart at most */
    double tol;              /* 1e-4: stops when sum |c - c_before|^2 <= tol x mean variance */
    const char *predictions; /* a file as in TurtleEvaluateOptions; NULL: do not write it */
    /* Centres of an earlier call: samples get the nearest one, nothing is clustered, and the five options
     * between `inputs` and `predictions` do not count. NULL: centres are sought. */
    const TurtleCenters *centers;
} TurtleKmeansOptions;

typedef struct {
    double inertia; /* sum of squared distances to the own centre */
    int64_t iterations;
} TurtleKmeansRestart;

typedef struct {
    int64_t samples, classes, clusters_found; /* of the training split */
    int64_t *cluster_sizes;                   /* (classes) samples of the training split; owned */
    int64_t *cluster_of;                      /* (samples) cluster of each of them; owned */
    int64_t val_samples, *val_cluster_of;     /* clusters of the validation split; owned */
    double train_acc, val_acc;                /* 0..1; NaN without labels or split */
    const char *split;            /* "val" or "train": the split of nmi, ari, predictions */
    double nmi, ari;              /* NaN without labels */
    int64_t unlabelled;           /* samples of `split` that no score counts */
    double inertia;               /* inertia of the best restart */
    int64_t iterations;           /* iterations of the best restart */
    TurtleKmeansRestart *restart; /* (restarts); owned */
    int64_t restarts, best;       /* how many, and which was the best */
    TurtleCenters centers;        /* centres of the best restart, or those that were given; owned */
    double seconds;
    char device[16];
    char *line; /* the line the published baseline writes; owned */
    char *json; /* everything above and the options, one JSON object; owned */
} TurtleKmeansResult;

TURTLE_API void turtle_kmeans_defaults(TurtleKmeansOptions *options);
/* Clusters the training split and labels both splits. Features that are no arrays of the caller's leave a line in
 * root_dir/results/kmeans.txt, unless the centres were given. */
TURTLE_API TurtleStatus turtle_kmeans(const TurtleKmeansOptions *options, TurtleKmeansResult *out,
                                      TurtleError *err);
TURTLE_API void turtle_kmeans_result_free(TurtleKmeansResult *result); /* NULL and twice are fine */

/* --- images to features ----------------------------------------------------------------------- */

/* Source of the images: exactly one of dataset, images and list. */
typedef struct {
    const char *dataset; /* a data set below root_dir/datasets */
    const char *images; /* a folder DIR/<class>/<image>, DIR/<image>, or train/ and val/ of these */
    const char *list;   /* a file of lines split<TAB>label<TAB>path */
    const char *name;   /* name of the outputs; NULL: the data set's, folder's or list's */
    bool public_test;   /* fer2013's PublicTest is scored, and not PrivateTest; for no other set */
} TurtleImages;

/* Facts that the tensors of an encoder do not say. Zeros and NULL mean: as its configuration says, or the
 * published network of its widths (host/encode/encoder_facts.h); what is given here overrules both.
 * host/libturtle.py declares these fields again. */
typedef struct {
    const char *config;        /* a configuration file, or a folder with some */
    int64_t heads;             /* attention heads of every block */
    const char *activation;    /* "quickgelu", "gelu", "gelu_tanh", "silu" */
    double norm_eps;           /* epsilon of the layer norms */
    double rope_base;          /* base of the periods of rotary positions (DINOv3) */
    const char *mean, *std;    /* "R,G,B" for pixels in 0..1 */
    const char *resize;        /* "crop": the short side, then the middle; "squash": both sides */
    const char *interpolation; /* "bicubic", "bilinear" */
} TurtleEncoder;

typedef struct {
    TurtleCommon common;
    TurtleImages images;
    TurtleEncoder encoder;  /* facts that the caller knows, where there is one phi */
    TurtleTexts phis;       /* names of encoders: clipvitL14, ..., dinov2, or a file's stem */
    const char *weights;    /* weights, where there is one phi; NULL: root_dir/checkpoints/... */
    const char *batch_size; /* "auto" or a number: images encoded at a time */
    int64_t image_size;     /* 0: as the encoder's configuration says, or it was published */
    const char *feature;    /* "cls", "patchmean", "cls+mean" */
    bool normalize;         /* features of length 1 */
    bool skip_bad;          /* leave images out that cannot be decoded, and list them */
    const char *orient;     /* "none": as stored, like the published loaders; "exif": turned upright
                               as cameras record it in JPEG and PNG */
    const char *decoder;    /* "magick" or "ffmpeg": the installed program that decodes the kinds of
                               pictures that are not read here, each in a child; NULL: none */
    const char *dump;  /* also write the pixels that the encoder sees, (N,side,side,3); or NULL */
    const char *shard; /* "I/N": only the I-th of N pieces of each split; or NULL */
    bool resume;       /* continue an interrupted call */
} TurtleFeaturesOptions;

typedef struct {
    int64_t images, skipped; /* images over all encoders and splits */
    int64_t decoded;         /* images that the program of `decoder` read, over all splits */
    int64_t left_out;        /* files of the folder or lines of the list that are no images */
    double seconds, images_per_s;
    double waiting_share; /* part of the time in which the encoder waited for decoded images */
    int64_t batch_size;   /* images that the last encoder takes at a time */
    int64_t device_bytes; /* most memory of the device's own, weights and batch; 0 on a CPU */
    char *files;          /* one line per file written; owned */
    char *json;           /* owned */
} TurtleFilesResult;

TURTLE_API void turtle_features_defaults(TurtleFeaturesOptions *options);
/* Writes root_dir/representations/<phi>/<name>_{train,val}.npy, and the list of images as .txt beside. */
TURTLE_API TurtleStatus turtle_features(const TurtleFeaturesOptions *options,
                                        TurtleFilesResult *out, TurtleError *err);

/* Pictures in memory: pixels of one size, or whole files of any kind that is read. They are not copied. */
typedef struct {
    const void *data; /* a JPEG, PNG, BMP, PNM or GIF */
    int64_t bytes;
} TurtleBytes;
typedef struct {
    int64_t count;
    const uint8_t *rgb; /* (count,height,width,3) red, green, blue; NULL: files */
    int64_t height, width;
    const TurtleBytes *file; /* (count); NULL: pixels */
} TurtlePictures;

typedef struct {
    TurtleCommon common;
    TurtlePictures pictures;
    TurtleEncoder encoder; /* facts that the caller knows */
    const char *weights;   /* a file of weights, or a folder with one */
    int64_t batch_size;    /* 0: 16 pictures at a time, on a GPU up to 256; changes no bit */
    int64_t image_size; /* image_size, feature, normalize and orient: as in TurtleFeaturesOptions */
    const char *feature;
    bool normalize;
    const char *orient; /* of files */
    /* (count,dims) features, which the call fills in; owned by the caller. NULL: nothing is encoded, and the
     * result tells `dims` alone. */
    void *features;
    int64_t dims; /* of `features`; another dimension of the encoder is refused */
    TurtleType type;
} TurtleEncodeOptions;

typedef struct {
    int64_t images, dims; /* pictures encoded, and numbers of each */
    double seconds, images_per_s;
    char device[16];
    char *json; /* owned */
} TurtleEncodeResult;

TURTLE_API void turtle_encode_defaults(TurtleEncodeOptions *options);
/* Computes the features that turtle_features writes, of pictures in memory. The first bad picture in order ends the
 * call. TURTLE_ERR_STOPPED: nothing says how many rows are whole. */
TURTLE_API TurtleStatus turtle_encode(const TurtleEncodeOptions *options, TurtleEncodeResult *out,
                                      TurtleError *err);
TURTLE_API void turtle_encode_result_free(TurtleEncodeResult *result); /* NULL and twice are fine */

typedef struct {
    TurtleCommon common;
    TurtleImages images;
    const char *phi; /* a representation in whose list the images are to be; NULL: all images */
} TurtleLabelsOptions;

TURTLE_API void turtle_labels_defaults(TurtleLabelsOptions *options);
/* Writes root_dir/labels/<name>_{train,val}.npy, int64. */
TURTLE_API TurtleStatus turtle_labels(const TurtleLabelsOptions *options, TurtleFilesResult *out,
                                      TurtleError *err);
TURTLE_API void turtle_files_result_free(TurtleFilesResult *result); /* NULL and twice are fine */

/* --- sweeps ----------------------------------------------------------------------------------- */

/* Many trainings, ranked without labels. Every combination of the lists is one run. Entries are
 * numbers; whole ones also ranges, 20..50 or 20..50..5. An empty list is the default's one value. */
typedef struct {
    TurtleCommon common;                   /* its seed is not used */
    TurtleInputs inputs;                   /* its classes count where the list is empty */
    TurtleTexts classes;                   /* the data set's own number */
    TurtleTexts seeds;                     /* 42 43 44 */
    TurtleTexts starts;                    /* cold; "cold", "warm" */
    TurtleTexts inner_lr, outer_lr, gamma; /* 0.001, 0.001, 10 */
    int64_t T, M, batch_size, save_every;  /* as in TurtleTrainOptions */
    const char *prior, *rng;
    bool no_score; /* rank without the generalisation score: 10 fits per space and run */
    int jobs;      /* trainings side by side; 0: as many as fill the device; changes no result */
    const char *shard; /* "I/N": only the I-th of N pieces of the grid; or NULL */
    bool resume;       /* keep the finished runs in `out`, continue the unfinished ones */
    bool restart;      /* throw away what is in `out` */
    const char *out;   /* NULL: root_dir/task_checkpoints/<K>space/<phis>/<dataset>/sweep */
} TurtleSweepOptions;

/* One training. NaN where unknown; accuracies are told, never used. */
typedef struct {
    int64_t classes;
    bool warm_start;
    double inner_lr, outer_lr, gamma;
    uint64_t seed;
    char name[160]; /* name of its run directory, below the sweep's folder */
    char *failed;   /* why it has no results; NULL: it has; owned */
    double generalization_score;
    double corrected_score; /* (score - chance) / (1 - chance), chance = sum of squared shares */
    double space_agreement; /* on the training split */
    double stability;       /* mean ARI with the runs that differ by the seed alone */
    double size_entropy;    /* entropy of the clusters' sizes, over ln classes */
    double quality; /* product of corrected_score, space_agreement and stability, as far as they are
                       known; NaN: none is, and the run is not ranked */
    int64_t clusters_found;
    double loss, entropy, cluster_acc, seconds;
} TurtleSweepRun;

/* All runs with one number of classes: means over them, and the quality of the best. */
typedef struct {
    int64_t classes, runs;
    double generalization_score, corrected_score, space_agreement, stability, size_entropy;
    double clusters_found, cluster_acc;
    double quality;
} TurtleSweepClasses;

typedef struct {
    TurtleSweepRun *run; /* (runs), the best first; owned */
    int64_t runs;
    TurtleSweepClasses *classes; /* (class_counts), ascending; owned */
    int64_t class_counts;
    int64_t recommended, runner_up; /* numbers of classes; 0: there are not two, with two
                                       seeds each, to choose among */
    double seconds;
    char device[16];
    char *folder; /* holds the runs, runs.csv, classes.csv and sweep.json; owned */
    char *json;   /* owned */
} TurtleSweepResult;

TURTLE_API void turtle_sweep_defaults(TurtleSweepOptions *options);
/* Trains every combination of the lists and ranks the runs. A run that diverges is a result. */
TURTLE_API TurtleStatus turtle_sweep(const TurtleSweepOptions *options, TurtleSweepResult *out,
                                     TurtleError *err);
TURTLE_API void turtle_sweep_result_free(TurtleSweepResult *result); /* NULL and twice are fine */

/* --- names -------------------------------------------------------------------------------------- */

/* CLIP's zero-shot classification: classes from their names alone; and names for found clusters. */
typedef struct {
    TurtleCommon common;
    TurtleInputs inputs;   /* features of a CLIP image encoder; with `clusters` the features of the
                                   checkpoint's spaces, and CLIP's behind them if it is not one */
    const char *weights;   /* the CLIP file with the text encoder; NULL: the phi's own below
                                   root_dir/checkpoints */
    TurtleEncoder encoder; /* config, heads, activation, norm_eps: facts of the text encoder */
    const char *names;     /* a file of own classes, one per line; NULL: the data set's list */
    const char *templates; /* a file of own templates with {} in them; NULL: the data set's */
    /* Lines of such files as texts, in their place; further names of a class stand behind tabs. None: the files. */
    TurtleTexts class_names, template_texts;
    bool default_template_only; /* "A photo of a {}." */
    bool
        published_order; /* aircraft's names in the order of the published list, which is not that of its labels */
    bool truncate;            /* cut prompts that are too long; false: refuse them */
    const char *clusters;     /* a task checkpoint whose clusters are to be named; NULL: none */
    const TurtleModel *model; /* the labelling itself, in place of `clusters`; or NULL */
    bool soft_labels;         /* fill TurtleZeroshotResult.probability in */
    const char *predictions; /* a file of lines path,class,name,confidence,margin, or where the name
                                   ends in .npy of the classes, int64 (N); NULL: do not write it */
    int64_t batch_size;      /* prompts encoded at a time, at most 64; 0: 64; changes no bit */
} TurtleZeroshotOptions;

typedef struct {
    int64_t cluster, samples;
    /* the class that most samples of the cluster are nearest to, and the next; NULL: no samples */
    char *name, *runner_up;
    double share, runner_up_share; /* shares of the cluster's samples */
    char *mean_name; /* the class nearest to the mean feature: another one is a sign of doubt */
} TurtleClusterName;

typedef struct {
    const char *split; /* "val" or "train" */
    int64_t samples, classes, prompts;
    int64_t unlabelled;          /* samples that no score counts */
    double top1, mean_class_acc; /* NaN without labels */
    TurtleClusterName *cluster;  /* (clusters); owned */
    int64_t clusters;
    int64_t *class_sizes; /* (classes) samples that were given each class; owned */
    char **class_names;   /* (classes) the first name of each; owned */
    int64_t *class_of;    /* (samples) class of each sample of `split`; owned */
    float *probability;   /* (samples, classes) soft labels of `split`, if asked for; owned */
    double seconds;
    char device[16];
    char *line; /* the published line; owned */
    char *json; /* owned */
} TurtleZeroshotResult;

TURTLE_API void turtle_zeroshot_defaults(TurtleZeroshotOptions *options);
/* Classifies samples by the names of classes, or names the clusters of a checkpoint. */
TURTLE_API TurtleStatus turtle_zeroshot(const TurtleZeroshotOptions *options,
                                        TurtleZeroshotResult *out, TurtleError *err);
TURTLE_API void turtle_zeroshot_result_free(TurtleZeroshotResult *result); /* NULL is fine */

/* --- the paper's table ---------------------------------------------------------------------------- */

/* Features, TURTLE with one and two spaces, k-means, probe and zero-shot over data sets and encoders. */
typedef struct {
    TurtleCommon common;
    TurtleTexts datasets; /* rows; the paper's 26 */
    TurtleTexts
        phis;        /* columns; the paper's 9. dinov2, else the last, is the second space of two */
    int64_t T;       /* 6000 outer iterations of each training */
    bool validation; /* the probe chooses C on a part of the training split */
    bool resume;     /* keep finished cells, continue unfinished trainings */
    bool restart;    /* make finished cells anew, throw unfinished trainings away */
    const char *out; /* a file of the table, .md or .csv; NULL: do not write it */
} TurtleTableOptions;

typedef struct {
    const char *dataset, *phi, *partner; /* partner: the second space, or NULL */
    const char *method; /* "turtle1", "turtle2", "kmeans", "probe", "zeroshot"; all four
                                          texts are NULL where the method has no such cell */
    double accuracy; /* 0..1, of the validation split where there is one; NaN: there is no result */
    double paper;    /* the paper's figure, 0..1; NaN: not known */
    double seconds;  /* NaN: not run */
    bool kept;       /* the record of an earlier call */
    char *failed;    /* why there is no result though the cell was tried, or NULL; owned */
} TurtleTableCell;

typedef struct {
    TurtleTableCell
        *cell; /* (cells), method by method, row by row; owned. Texts live as the options */
    int64_t cells;
    int64_t run, kept, failed; /* cells run now, kept from earlier calls, without a result */
    double seconds;
    char *text; /* the table in Markdown; owned */
    char *json; /* owned */
} TurtleTableResult;

TURTLE_API void turtle_table_defaults(TurtleTableOptions *options);
/* Runs every cell whose features are on the disk, or whose images and weights are, and makes the table.
 * A finished cell leaves a record in root_dir/results/table. */
TURTLE_API TurtleStatus turtle_table(const TurtleTableOptions *options, TurtleTableResult *out,
                                     TurtleError *err);
TURTLE_API void turtle_table_result_free(TurtleTableResult *result); /* NULL and twice are fine */

/* --- a page to look at ----------------------------------------------------------------------------- */

/* A report of finished runs: their directories, or the run of a data set in its published place. */
typedef struct {
    TurtleCommon common; /* its seed is part of the published place */
    TurtleTexts
        runs; /* run directories, the first one is shown in full; a sweep's folder stands for its
                         best run; files of predictions (.csv) of baselines stand beside them */
    TurtleInputs inputs;       /* dataset and phis: the newest run in its published place */
    const char *cluster_names; /* a file of lines cluster<TAB>name; NULL: none */
    const char *out;           /* the HTML file; NULL: report.html in the first run's directory */
    double max_size;           /* 20: megabytes (10^6 bytes) that the page stays below */
} TurtleReportOptions;

typedef struct {
    int64_t samples, classes;  /* of the split that is shown */
    int64_t pictures, damaged; /* thumbnails in the page, pictures that could not be read */
    int64_t bytes;             /* size of the page */
    double seconds;
    char *path; /* the page; owned */
    char *json; /* owned */
} TurtleReportResult;

TURTLE_API void turtle_report_defaults(TurtleReportOptions *options);
/* Writes one HTML file that shows what was found: clusters with pictures, doubtful samples, curves. */
TURTLE_API TurtleStatus turtle_report(const TurtleReportOptions *options, TurtleReportResult *out,
                                      TurtleError *err);
TURTLE_API void turtle_report_result_free(TurtleReportResult *result); /* NULL and twice are fine */

/* --- folders to hand on ---------------------------------------------------------------------------- */

/* Pictures into folders by cluster. */
typedef struct {
    TurtleCommon common;
    const char *run;           /* directory of a finished run */
    const char *into;          /* a folder that is new, empty, or was begun by the same call */
    const char *how;           /* "link": hard links; "symlink"; "copy" */
    const char *cluster_names; /* a file of lines cluster<TAB>name; NULL: folders are numbers */
    double min_confidence;     /* 0: less confident pictures go into the folder `doubtful` */
} TurtleSortOptions;

typedef struct {
    int64_t samples;       /* of all splits that were sorted; the sum of the next four */
    int64_t placed, there; /* files placed by this call, and by earlier ones */
    int64_t left_out;      /* samples of clusters with an empty name */
    int64_t failed;        /* pictures that could not be placed: 0 where the call succeeds */
    int64_t doubtful;      /* of the placed files, those in `doubtful` */
    int64_t clashes;       /* files with a number behind their name */
    int64_t folders;       /* folders with a file */
    int64_t strangers;     /* files in those folders that are no sample's */
    double seconds;
    char *into; /* real path of the folder; owned */
    char *json; /* owned */
} TurtleSortResult;

TURTLE_API void turtle_sort_defaults(TurtleSortOptions *options);
/* Places the pictures of a run, and tables beside them: manifest.csv, labels.csv, label_studio.json and
 * label_studio.xml. Nothing is moved or overwritten. A call that was stopped or killed is continued by the
 * same call. A picture that is missing does not stop the others; the call then fails at its end. */
TURTLE_API TurtleStatus turtle_sort(const TurtleSortOptions *options, TurtleSortResult *out,
                                    TurtleError *err);
TURTLE_API void turtle_sort_result_free(TurtleSortResult *result); /* NULL and twice are fine */

/* --- getting data sets and weights -------------------------------------------------------------- */

/* Exactly one of dataset, phis, checkpoints and list is asked for. */
typedef struct {
    TurtleCommon common;
    const char *dataset; /* one of the 26 data sets, cifar10020 or digits */
    TurtleTexts phis;    /* encoders whose weights are fetched */
    bool checkpoints;    /* the labelings that the authors released */
    bool list;           /* tell what is there */
    const char *
        from; /* folder with archives under their published names, or what they unpack to; NULL: download */
    bool unverified; /* sizes, digests and counts are not looked at */
} TurtlePrepareOptions;

typedef struct {
    int64_t train, val, classes; /* of the data set; -1 where there is none */
    bool verified; /* counts, and all sizes and digests that are published, were right */
    double seconds;
    char *text; /* for people; owned */
    char *json; /* owned */
} TurtlePrepareResult;

TURTLE_API void turtle_prepare_defaults(TurtlePrepareOptions *options);
/* Brings a data set below root_dir/datasets, weights below root_dir/checkpoints, or the released labelings below
 * root_dir/task_checkpoints: fetched by curl, checked, unpacked, counted, and moved into place as a whole.
 * TURTLE_ERR_STOPPED: the next call continues. */
TURTLE_API TurtleStatus turtle_prepare(const TurtlePrepareOptions *options,
                                       TurtlePrepareResult *out, TurtleError *err);
TURTLE_API void
turtle_prepare_result_free(TurtlePrepareResult *result); /* NULL and twice are fine */

/* --- information ------------------------------------------------------------------------------ */

/* Tells version, commit, compiler, devices and environment; or, with a file, what it holds (.npy,
 * weights, checkpoints). *text is for people, *json one object; both are fresh memory for free(). */
TURTLE_API TurtleStatus turtle_info(const char *file, char **text, char **json, TurtleError *err);
/* Tells the same of weights to which some facts are given: what `features` would make of them. */
TURTLE_API TurtleStatus turtle_info_encoder(const char *file, const TurtleEncoder *encoder,
                                            int64_t image_size, char **text, char **json,
                                            TurtleError *err);

typedef struct {
    const char *device;    /* "auto": the first GPU of this machine, "h200" without one; "h200",
                              "h100", "a100", "rtx4090", "tiny" */
    const char *precision; /* "fp16" */
    TurtleTexts dims;      /* dimension of each space; none: 768 */
    int64_t batch_size, classes, M; /* 10000, 10, 10 */
    const char *weights;   /* a file of weights: the plan is that of its encoder; or NULL */
    TurtleEncoder encoder; /* what the weights do not say of it */
    int64_t image_size;    /* side of the square that it sees; 0: as its configuration says */
    int64_t images;        /* how many it encodes at a time; 0: 256 */
} TurtlePlanOptions;
TURTLE_API void turtle_plan_defaults(TurtlePlanOptions *options);
/* Tells the layout of the persistent kernel of the inner loop on a GPU, and the predicted time of each
 * phase of an outer iteration: what a model says, not a measurement. With `weights` it tells every launch of
 * a batch of images instead, and images per second. *text and *json as turtle_info. */
TURTLE_API TurtleStatus turtle_plan(const TurtlePlanOptions *options, char **text, char **json,
                                    TurtleError *err);
/* Returns {"error": "..."}, which a caller that promised JSON prints on failure; fresh memory for free(). */
TURTLE_API char *turtle_error_json(const TurtleError *err);
/* Returns "0.13.0 (commit, compiler, CUDA)". */
TURTLE_API const char *turtle_version(void);

#ifdef __cplusplus
}
#endif

#endif
