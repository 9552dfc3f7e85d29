/* encoder.h - frozen image encoders: official weights in, features out.
 *
 * The kinds are CLIP's vision transformer (vit.c), CLIP's modified residual network (resnet.c; both
 * Radford et al. 2021, github.com/openai/CLIP, model.py), and the vision transformers of DINOv2
 * (vit.c; Oquab et al. 2023, github.com/facebookresearch/dinov2), of DINOv3 (vit.c; Simeoni et al.
 * 2025, github.com/facebookresearch/dinov3) and of SigLIP and SigLIP 2 (vit.c, pooling_head.c; Zhai et
 * al. 2023, Tschannen et al. 2025). What a file holds is read from the names
 * and shapes of its tensors; what they do not say, encoder_facts.h finds. Numbers are used as they are stored; the published CLIP loader rounds
 * the matrices of float32 files to float16 first.
 */
#ifndef TURTLE_HOST_ENCODE_ENCODER_H
#define TURTLE_HOST_ENCODE_ENCODER_H

#include "host/encode/encoder_facts.h"
#include "host/encode/parts.h"
#include "host/encode/transformer.h"
#include "host/encode/weights.h"
#include "host/tell/made.h"

typedef enum {
    ENCODER_CLIP_VIT,
    ENCODER_CLIP_RESNET,
    ENCODER_DINOV2,
    ENCODER_DINOV3,
    ENCODER_SIGLIP
} EncoderKind;

/* The facts of an encoder that names and shapes of tensors tell, before any value is read. */
typedef struct EncoderShape {
    EncoderKind kind;
    bool hugging_face; /* names as in Hugging Face's files, not the original ones */
    bool timm;         /* names as in timm's files, where these differ from the original ones */
    int64_t width;     /* residual network: of the attention pooling */
    int64_t depth;     /* transformer: blocks */
    int64_t stages[4]; /* residual network: blocks of its four stages */
    int64_t patch;     /* transformer: side of a patch; residual network: 32, its whole stride */
    int64_t grid;      /* patches along a side of the native image; 0: it has no size of its own */
    int64_t registers; /* DINOv2 with registers, DINOv3: 4 */
    int64_t periods;   /* stored periods of rotary positions; 0: none are stored */
    bool gated;        /* SwiGLU */
    int64_t features;  /* numbers per image */
    int64_t text_depth, text_width, vocabulary, context; /* 0: no text encoder in the file */
} EncoderShape;

/* Returns whether networks of the kind are CLIP's, beside which a text encoder may lie. */
static inline bool encoder_is_clip(EncoderKind kind) {
    return kind == ENCODER_CLIP_VIT || kind == ENCODER_CLIP_RESNET;
}

/* Reads the shape; a file of anything else is ERR_FORMAT. */
Status encoder_shape(EncoderShape *out, Weights *w);
/* Writes "CLIP ViT-L/14", "DINOv2 ViT-g/14 with 4 registers", or the shape in words. */
void encoder_describe(char text[160], const EncoderShape *shape);

typedef enum { FEATURE_CLS, FEATURE_PATCHMEAN, FEATURE_CLS_MEAN } FeatureKind;

typedef struct {
    TurtleEncoder given;         /* flags; zeros: none */
    const PublishedModel *model; /* the published encoder whose file it is, or NULL */
    int64_t image_size;          /* 0: not given */
    FeatureKind feature;
    bool normalize; /* to length 1 */
    int64_t batch;  /* most images at a time; 0: as many as the device's memory makes worth while */
    int64_t images; /* images that there are in all, if it is known; a batch of 0 is no larger */
    Precision precision; /* of products */
    bool whole;          /* pictures come by encoder_start_whole, where the device resizes them */
} EncoderOptions;

/* Reads --precision, whose `auto` is the device's own. Encoders have no tf32: ERR_USAGE. */
Status encoder_precision(Precision *out, const char *text, const Ops *ops, Error *err);
const char *precision_name(Precision precision); /* "fp32", "fp16", "bf16" */
/* Returns what a line says of a feature that is not finite: what to do about it. */
const char *precision_advice(Precision precision);

typedef struct Encoder Encoder;

/* The batch of 0: on a device that uses the host's memory, and at most on others. */
enum { AUTO_BATCH = 16, AUTO_BATCH_DEVICE = 256 };

/* Opens the file and all memory that a batch needs. Where the device has no memory for a batch its size is
 * halved, and encoder_said tells so. `ops` and `path` must outlive *out. */
Status encoder_open(Encoder **out, const Ops *ops, const char *path, const EncoderOptions *options,
                    Error *err);
void encoder_close(Encoder *e); /* NULL is fine */

const EncoderShape *encoder_info(const Encoder *e);
int64_t encoder_features(const Encoder *e); /* numbers per image */
int64_t encoder_batch(const Encoder *e);    /* most images at a time */
/* Adds the weights, by size and digest of their files, and the facts that are used. */
void encoder_made(const Encoder *e, Made *made);
/* Returns what the user has to be told of the file, lines as of weights_said. */
const char *encoder_said(const Encoder *e);
/* Returns the facts of the network that its tensors do not say. */
const EncoderFacts *encoder_known(const Encoder *e);
/* Returns in *resize and *side the sizes of the rule by which a picture becomes the encoder's. */
void encoder_image_size(const Encoder *e, int *resize, int *side);

/* Computes features (B,encoder_features) of pixels (B,side,side,3) RGB, both in host memory; B <= batch.
 * Pixels are what resize_image makes by the encoder's rule: uint8, or floats of 0 to 1. */
Status encoder_run(Encoder *e, float *features, const void *pixels, int64_t B, Error *err);
/* Enqueues the same, and returns in *mark when it is done. The pixels are read before it returns; the
 * features are written when encoder_reach returns for the mark. A device with memory of its own receives
 * the pixels while it works on the batch before. */
Status encoder_start(Encoder *e, float *features, const void *pixels, int64_t B, int64_t *mark,
                     Error *err);
/* Returns the bytes of a picture that encoder_start_whole takes (host/encode/picture.h). 0: pictures come as squares,
 * for nobody asked for whole ones, the device does not resize, or the rule's squares have no room. */
int64_t encoder_picture_bytes(const Encoder *e);
/* Enqueues the same of B pictures as picture_write leaves them, which the device resizes. */
Status encoder_start_whole(Encoder *e, float *features, const uint8_t *const *pictures, int64_t B,
                           int64_t *mark, Error *err);
Status encoder_reach(Encoder *e, int64_t mark, Error *err);
/* Returns whether encoder_reach would not wait. */
bool encoder_reached(const Encoder *e, int64_t mark);
/* Waits for all batches that were started and whose features nobody wants any more: the memory of these
 * features may be freed then. */
void encoder_drop(Encoder *e);
/* Computes the features of images (B,side,side,3) that are normalised already. */
Status encoder_run_images(Encoder *e, float *features, const float *images, int64_t B, Error *err);

/* --- one kind each: vit.c, resnet.c ----------------------------------------------------------- */

/* The functions by which encoder.c runs one kind of network. Failures of loading stick to the weights. */
typedef struct Network Network;
typedef struct {
    /* Sizes from the tensors, given kind and hugging_face. */
    void (*shape)(EncoderShape *shape, Weights *w);
    Network *(*load)(Weights *w, const EncoderShape *shape, const EncoderFacts *facts,
                     FeatureKind feature);
    void (*free)(Network *network);
    int64_t (*features)(const Network *network);
    /* Returns the device memory of a batch. */
    Parts (*parts)(Network *network, const Ops *ops, int64_t batch);
    /* features (B,features) of images (B,side,side,3), both on the device. */
    void (*run)(Network *network, const Ops *ops, Queue *queue, float *features,
                const float *images, int64_t B);
} NetworkKind;
extern const NetworkKind vit_network, resnet_network;

/* position.c: returns the side of the grid that a table of first + grid^2 positions is for. Any other
 * number of rows is a failure that sticks to the weights. */
int64_t position_grid(Weights *w, int64_t rows, int64_t first);
/* Interpolates a (from,from,d) table of positions for a grid of to x to, bicubically, by one of the
 * published rules. POSITION_OFFSET, of DINOv2 without registers, samples at the scale (to +
 * 0.1) / from with a = -0.75 and no antialiasing. POSITION_ANTIALIAS, of DINOv2 with registers,
 * samples at to / from with a = -0.5, antialiased. POSITION_EXACT, of Hugging Face's SigLIP, samples
 * at to / from with a = -0.75 and no antialiasing. */
typedef enum { POSITION_OFFSET, POSITION_ANTIALIAS, POSITION_EXACT } PositionRule;
void position_resize(float *out, int64_t to, const float *in, int64_t from, int64_t d,
                     PositionRule rule);

/* rope.c: writes the n periods of rotary positions for heads of 4 n. */
void rope_periods(float *periods, int64_t n, double base);
/* Writes the cosines and sines (grid^2,2n) of the angles of all patches of a square grid. */
void rope_angles(float *cosines, float *sines, const float *periods, int64_t n, int64_t grid);

#endif
