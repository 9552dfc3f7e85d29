/* cmd_features.c - the commands `features` and `labels`: a flag table and a call each. */
#include <stdlib.h>

#include "host/cli/command.h"
#include "io/text/printable.h"

static const Flag image_flags[] = {
    {"dataset", FLAG_TEXT, offsetof(TurtleImages, dataset), "NAME",
     "data set below root_dir/datasets: mnist, cifar10, ..."},
    {"images", FLAG_TEXT, offsetof(TurtleImages, images), "DIR",
     "or: DIR/<class>/<image>, DIR/<image>, train/ and val/ of those"},
    {"list", FLAG_TEXT, offsetof(TurtleImages, list), "FILE",
     "or: lines split<TAB>label<TAB>path, label - if unknown; - is stdin"},
    {"name", FLAG_TEXT, offsetof(TurtleImages, name), "NAME",
     "name of the outputs; else the data set's, folder's or list's"},
    {"public_test", FLAG_SWITCH, offsetof(TurtleImages, public_test), NULL,
     "fer2013: score PublicTest instead of PrivateTest"},
    {0}};

static const Flag features_flags[] = {
    {"phis", FLAG_TEXTS, offsetof(TurtleFeaturesOptions, phis), "PHI...",
     "encoders: clipvitL14, clipRN50, ..., dinov2, or a file's stem"},
    {"weights", FLAG_TEXT, offsetof(TurtleFeaturesOptions, weights), "FILE",
     "weights of the one encoder: a file, an index of shards, a folder; else below "
     "root_dir/checkpoints"},
    {"batch_size", FLAG_TEXT, offsetof(TurtleFeaturesOptions, batch_size), "N",
     "images encoded at a time; changes no bit"},
    {"image_size", FLAG_INTEGER, offsetof(TurtleFeaturesOptions, image_size), "N",
     "side of the square that it sees; 0: as its configuration says"},
    {"feature", FLAG_TEXT, offsetof(TurtleFeaturesOptions, feature), "cls|patchmean|cls+mean",
     "class token, mean of the patches, or both"},
    {"normalize", FLAG_SWITCH, offsetof(TurtleFeaturesOptions, normalize), NULL,
     "scale every feature to length 1"},
    {"skip_bad", FLAG_SWITCH, offsetof(TurtleFeaturesOptions, skip_bad), NULL,
     "leave out images that cannot be decoded, and list them"},
    {"orient", FLAG_TEXT, offsetof(TurtleFeaturesOptions, orient), "none|exif",
     "exif: turn photographs upright; none: as the published loaders"},
    {"decoder", FLAG_TEXT, offsetof(TurtleFeaturesOptions, decoder), "magick|ffmpeg",
     "a program for kinds of pictures that are not read here"},
    {"dump", FLAG_TEXT, offsetof(TurtleFeaturesOptions, dump), "FILE",
     "also write the pixels that the encoder sees, .npy"},
    {"shard", FLAG_TEXT, offsetof(TurtleFeaturesOptions, shard), "I/N",
     "only the I-th of N pieces of each split"},
    {"resume", FLAG_SWITCH, offsetof(TurtleFeaturesOptions, resume), NULL,
     "continue an interrupted call"},
    {0}};

/* Facts that are not given come from host/encode/encoder_facts.h. */
const Flag encoder_flags[] = {
    {"config", FLAG_TEXT, offsetof(TurtleEncoder, config), "FILE",
     "config.json, open_clip_config.json or a folder; else beside the weights"},
    {"heads", FLAG_INTEGER, offsetof(TurtleEncoder, heads), "N",
     "attention heads; 0: as its configuration says"},
    {"activation", FLAG_TEXT, offsetof(TurtleEncoder, activation), "quickgelu|gelu|gelu_tanh|silu",
     "activation of the MLPs"},
    {"norm_eps", FLAG_REAL, offsetof(TurtleEncoder, norm_eps), "X",
     "epsilon of the layer norms; 0: as its configuration says"},
    {"rope_base", FLAG_REAL, offsetof(TurtleEncoder, rope_base), "X",
     "base of DINOv3's rotary positions; 0: the stored periods, else as its configuration says"},
    {"mean", FLAG_TEXT, offsetof(TurtleEncoder, mean), "R,G,B", "subtracted from pixels of 0 to 1"},
    {"std", FLAG_TEXT, offsetof(TurtleEncoder, std), "R,G,B", "what pixels are then divided by"},
    {"resize", FLAG_TEXT, offsetof(TurtleEncoder, resize), "crop|squash",
     "the middle of the resized picture, or all of it made square"},
    {"interpolation", FLAG_TEXT, offsetof(TurtleEncoder, interpolation), "bicubic|bilinear",
     "how pictures are resized"},
    {0}};

static void print_and_free(TurtleFilesResult *r, const CommandFlags *flags) {
    command_hooks_end();
    if (flags->json) {
        puts(r->json);
    } else {
        printf("%lld images", (long long)r->images);
        if (r->skipped) printf(", %lld skipped", (long long)r->skipped);
        if (r->decoded) printf(", %lld through --decoder", (long long)r->decoded);
        if (r->left_out) printf(", %lld left out", (long long)r->left_out);
        if (r->images_per_s > 0)
            printf(", %.1f images/s, %.0f %% of the time waiting for pictures", r->images_per_s,
                   100.0 * r->waiting_share);
        if (r->device_bytes)
            printf(", %.2f GB of the device for %lld at a time", 1e-9 * (double)r->device_bytes,
                   (long long)r->batch_size);
        char *files = printable_copy(r->files ? r->files : "", true);
        printf(", %.1f s\n%s", r->seconds, files ? files : "");
        free(files);
    }
    turtle_files_result_free(r);
}

static Status run_features(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleFeaturesOptions options;
    TurtleFilesResult result;
    turtle_features_defaults(&options);
    const FlagTable tables[] = {
        {"Images", image_flags, &options.images},
        {"Encoders", features_flags, &options},
        {"What weights do not say of their encoder", encoder_flags, &options.encoder},
        {"Common", common_flags, &options.common},
        {"Output", command_flags, flags}};
    Status st = command_parse(&command_features, tables, 5, argc, argv, flags, NULL, err);
    if (st == OK && options.images.dataset && !options.weights)
        st = command_default_phis(NULL, &options.phis, "clipvitL14", NULL, flags, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_features(&options, &result, err);
        if (st == OK) print_and_free(&result, flags);
    }
    flags_free(tables, 5);
    return st;
}

const Command command_features = {
    "features", "turns images into representations with a frozen encoder",
    "--dataset NAME | --images DIR | --list FILE, --phis PHI... [flags]", run_features, "seed"};

static const Flag labels_flags[] = {{"phi", FLAG_TEXT, offsetof(TurtleLabelsOptions, phi), "PHI",
                                     "only the images in this representation's list"},
                                    {0}};

static Status run_labels(int argc, char **argv, CommandFlags *flags, Error *err) {
    TurtleLabelsOptions options;
    TurtleFilesResult result;
    turtle_labels_defaults(&options);
    const FlagTable tables[] = {{"Images", image_flags, &options.images},
                                {"Labels", labels_flags, &options},
                                {"Common", common_flags, &options.common},
                                {"Output", command_flags, flags}};
    Status st = command_parse(&command_labels, tables, 4, argc, argv, flags, NULL, err);
    if (st == OK && !flags->help) {
        command_hooks(&options.common, flags);
        st = turtle_labels(&options, &result, err);
        command_hooks_end();
        if (st == OK) print_and_free(&result, flags);
    }
    flags_free(tables, 4);
    return st;
}

const Command command_labels = {"labels", "writes the classes of images, only ever used to score",
                                "--dataset NAME | --images DIR | --list FILE [flags]", run_labels,
                                "device precision seed threads"};
