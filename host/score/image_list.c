/* image_list.c - names of a split's samples: the lines of `<stem>.txt` beside the features of its first space. */
#include "host/score/image_list.h"

#include <stdlib.h>
#include <string.h>

bool image_list_next(ImageList *list, TextLine *line) {
    while (text_lines_next(&list->lines, line))
        if (!line->blank) return true;
    return false;
}

void image_list_close(ImageList *list) {
    if (!list) return;
    text_lines_close(&list->lines);
    free(list->path);
    *list = (ImageList){0};
}

Status image_list_open(ImageList *out, const Split *split, Error *err) {
    const char *features = split->space[0].path;
    const size_t n = strlen(features);
    TextLine line;
    int64_t images = 0;
    *out = (ImageList){0};
    if (n < 4 || strcmp(features + n - 4, ".npy") != 0) return OK;
    char *path = format_text("%.*s.txt", (int)(n - 4), features);
    if (!path) return fail(err, ERR_MEMORY, "predictions: out of memory");
    if (!file_exists(path)) {
        free(path);
        return OK;
    }
    out->path = path;
    Status st = text_lines_open(&out->lines, "predictions", path, err);
    while (st == OK && image_list_next(out, &line)) images++;
    text_lines_close(&out->lines);
    if (st == OK && images != split->N)
        st = fail(err, ERR_FORMAT, "predictions: %s has %lld lines, the features have %lld rows",
                  path, (long long)images, (long long)split->N);
    if (st == OK) st = text_lines_open(&out->lines, "predictions", path, err);
    if (st != OK) image_list_close(out);
    return st;
}
