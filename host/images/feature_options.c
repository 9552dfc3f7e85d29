/* feature_options.c - words of options that files and memory share, and the size of a batch. */
#include "host/images/feature_options.h"

#include <string.h>

Status feature_kind_parse(FeatureKind *out, const char *text, Error *err) {
    static const char *const names[] = {"cls", "patchmean", "cls+mean"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (FeatureKind)i;
            return OK;
        }
    return fail(err, ERR_USAGE, "--feature: '%s': expected cls, patchmean or cls+mean", text);
}

Status orient_parse(bool *out, const char *text, Error *err) {
    *out = strcmp(text, "exif") == 0;
    if (*out || strcmp(text, "none") == 0) return OK;
    return fail(err, ERR_USAGE, "--orient: '%s': expected none or exif", text);
}
