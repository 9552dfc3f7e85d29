/* left_out.c - entries that a listing passes over, each with its reason. */
#include "io/datasets/left_out.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/grow.h"
#include "io/text/printable.h"

static int find_reason(const LeftOut *left, LeftWhy why, const PictureKind *kind,
                       const char *detail) {
    for (int i = 0; i < left->reasons; i++) {
        const LeftReason *r = &left->reason[i];
        if (r->why == why && r->kind == kind && r->detail == detail) return i;
    }
    return -1;
}

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "images: out of memory");
}

Status left_out_add(LeftOut *left, const char *path, bool folder, int split, LeftWhy why,
                    const PictureKind *kind, const char *detail, Error *err) {
    int reason = find_reason(left, why, kind, detail);
    if (reason < 0) {
        LeftReason *more =
            realloc(left->reason, (size_t)(left->reasons + 1) * sizeof *left->reason);
        if (!more) return out_of_memory(err);
        left->reason = more;
        reason = left->reasons++;
        more[reason] =
            (LeftReason){.why = why, .kind = kind, .detail = detail, .first = left->count};
    }
    LeftEntry *longer = grown(left->entry, left->count, &left->capacity, sizeof *longer);
    if (!longer) return out_of_memory(err);
    left->entry = longer;
    LeftEntry *e = &left->entry[left->count];
    *e = (LeftEntry){strdup(path), reason, (int8_t)split, folder};
    if (!e->path) return out_of_memory(err);
    left->count++;
    left->files += !folder;
    left->reason[reason].files += !folder;
    left->reason[reason].folders += folder;
    return OK;
}

void left_out_free(LeftOut *left) {
    if (!left) return;
    for (int64_t i = 0; i < left->count; i++) free(left->entry[i].path);
    free(left->entry);
    free(left->reason);
    *left = (LeftOut){0};
}

char *left_out_why(char *text, size_t bytes, const LeftReason *r) {
    switch (r->why) {
    case LEFT_KIND: snprintf(text, bytes, "%s is not read", r->kind ? r->kind->name : "it"); break;
    case LEFT_ENDING: snprintf(text, bytes, "no picture by its ending"); break;
    case LEFT_HIDDEN: snprintf(text, bytes, "hidden"); break;
    case LEFT_SYSTEM: snprintf(text, bytes, "in %s, a folder of another program", r->detail); break;
    case LEFT_TEST: snprintf(text, bytes, "of the test split, for %s is scored", r->detail); break;
    case LEFT_BESIDE: snprintf(text, bytes, "beside the folders of splits or classes"); break;
    case LEFT_EMPTY:
        snprintf(text, bytes, "a class folder without images: it has no number");
        break;
    case LEFT_CLOSED: snprintf(text, bytes, "a folder that cannot be opened"); break;
    case LEFT_LOOP: snprintf(text, bytes, "a link to a folder that holds it"); break;
    case LEFT_SPECIAL: snprintf(text, bytes, "a pipe, a socket or a device"); break;
    case LEFT_BREAK: snprintf(text, bytes, "a line break in its name"); break;
    }
    return text;
}

char *left_out_line(char *text, size_t bytes, const LeftOut *left, int reason, const char *folder) {
    const LeftReason *r = &left->reason[reason];
    const char *path = left->entry[r->first].path;
    char why[96], first[280], command[512] = "";
    const long long files = r->files, folders = r->folders;
    char count[64];
    if (!folders) snprintf(count, sizeof count, "%lld file%s", files, files == 1 ? "" : "s");
    else if (!files)
        snprintf(count, sizeof count, "%lld folder%s", folders, folders == 1 ? "" : "s");
    else snprintf(count, sizeof count, "%lld files and %lld folders", files, folders);
    const PictureKind *k = r->kind;
    const bool other = k && !k->film && (k->magick || k->ffmpeg);
    if (r->why == LEFT_KIND) picture_kind_command(command, sizeof command, k, folder, path);
    snprintf(text, bytes, "left out %s: %s (%s%s%s)%s%s%s%s%s", count,
             left_out_why(why, sizeof why, r), files + folders == 1 ? "" : "first ",
             printable(first, sizeof first, path, false), left->entry[r->first].folder ? "/" : "",
             *command ? "; " : "", command, *command ? "  makes PNGs of them" : "",
             other ? "; or features --decoder " : "",
             !other       ? ""
             : !k->magick ? "ffmpeg"
             : !k->ffmpeg ? "magick"
                          : "magick|ffmpeg");
    return text;
}
