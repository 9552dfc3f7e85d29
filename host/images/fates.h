/* fates.h - what a call understood of its images: notices, members of JSON, the fate of every file. */
#ifndef TURTLE_HOST_IMAGES_FATES_H
#define TURTLE_HOST_IMAGES_FATES_H

#include "host/images/image_inputs.h"
#include "host/tell/json.h"

/* Gives notices of splits, classes and images; of other readings that were possible; and, for each
 * reason to leave files out, how many there are, the first one, and what to do. */
void fates_tell(const ImageInputs *in, const TurtleHooks *hooks);

/* Adds `splits`, for each split its images, classes that occur and files left out; and `left_out`,
 * for each reason its files, folders and the first of them. */
void fates_json(Json *j, const ImageInputs *in);

/* A split in the file of fates: sources first .. end - 1. */
typedef struct {
    const SourceList *list;
    const char *split;
    int64_t first, end;
    const char *stem; /* <stem>.txt names those that were used; NULL: all */
} FateSplit;

/* Writes <stem>_files<ending>.tsv: a line fate, split, label, class, path, why for every file,
 * once; with `left_out` also for those that the listing passed over. In texts \\ stands for a
 * backslash, \n, \r and \t for what they say. Images in files of records have no such file. */
Status fates_write(const char *stem, const char *ending, const ImageInputs *in,
                   const FateSplit *splits, int count, bool left_out, Error *err);

#endif
