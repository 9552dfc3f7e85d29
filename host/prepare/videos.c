/* videos.c - UCF101 and Kinetics-700: from archives of videos to folders of frames. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/prepare/fetch.h"
#include "host/prepare/frames.h"
#include "host/prepare/special.h"
#include "host/tell/notify.h"
#include "io/files/file.h"
#include "io/text/text_lines.h"

/* Returns a video's path without the folder of the stage, which will be gone. */
static const char *shown(const SetJob *job, const char *video) {
    static const char videos[] = "/.videos/";
    const size_t n = strlen(job->stage);
    const bool staged =
        strncmp(video, job->stage, n) == 0 && strncmp(video + n, videos, sizeof videos - 1) == 0;
    return staged ? video + n + sizeof videos - 1 : video;
}

/* Writes a line for each video without a frame to <stage>/<place>, and says how many there are. */
static Status tell_skipped(const SetJob *job, const Frames *f, const char *place, Error *err) {
    char *path = format_text("%s/%s", job->stage, place);
    Status st = path ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    int64_t skipped = 0, first = -1;
    for (int64_t i = 0; st == OK && i < f->count; i++) {
        if (!f->frame[i].why) continue;
        if (skipped++ == 0) first = i;
        char *line = format_text("%s\t%s", shown(job, f->frame[i].video), f->frame[i].why);
        st = line ? file_append_line(path, line, err)
                  : fail(err, ERR_MEMORY, "prepare: out of memory");
        free(line);
    }
    if (skipped)
        notice(job->hooks,
               "prepare: %lld of %lld videos have no middle frame, and are left out; %s lists "
               "them; the first: %s: %s",
               (long long)skipped, (long long)f->count, place, shown(job, f->frame[first].video),
               f->frame[first].why);
    free(path);
    return st;
}

/* Returns whether a text is one name of a folder or file, fit to stand in a path. */
static bool is_name(const char *text, size_t n) {
    if (n == 0 || n > 255 || (n == 1 && text[0] == '.') || (n == 2 && memcmp(text, "..", 2) == 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '/' || (unsigned char)text[i] < ' ') return false;
    return true;
}

static char *with_jpg(const char *folder, const char *name, size_t n) {
    const char *dot = memrchr(name, '.', n);
    return format_text("%s/%.*s.jpg", folder, (int)(dot ? (size_t)(dot - name) : n), name);
}

/* --- UCF101 ------------------------------------------------------------------------------------------- */

/* Adds the videos of a list: lines "<class>/<video> <number>". */
static Status add_list(Frames *f, const SetJob *job, const char *videos, const char *list,
                       const char *split, Error *err) {
    TextLines lines;
    TextLine line;
    char *path = format_text("%s/ucf101/ucfTrainTestlist/%s", job->stage, list);
    Status st = path ? text_lines_open(&lines, "prepare", path, err)
                     : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st != OK) {
        free(path);
        return st;
    }
    while (st == OK && text_lines_next(&lines, &line)) {
        if (line.blank) continue;
        const size_t n = strcspn(line.text, " \t"), class = strcspn(line.text, "/");
        if (class + 1 >= n || !is_name(line.text, class) ||
            !is_name(line.text + class + 1, n - class - 1)) {
            st = text_line_bad(&lines, line.number, err, "'%.100s': expected <class>/<video>",
                               line.text);
            break;
        }
        char *folder = format_text("%s/ucf101/%s/%.*s", job->stage, split, (int)class, line.text);
        st = folder ? frames_add(f, format_text("%s/UCF-101/%.*s", videos, (int)n, line.text),
                                 with_jpg(folder, line.text + class + 1, n - class - 1), err)
                    : fail(err, ERR_MEMORY, "prepare: out of memory");
        free(folder);
    }
    text_lines_close(&lines);
    free(path);
    return st;
}

Status ucf101_place(SetJob *job, int archive, Placed *placed, Error *err) {
    const Found *f = &job->found[archive];
    ManifestArchive a = job->manifest.archive[archive];
    const bool videos = a.begins > 0 && strcmp(a.begin[0], "UCF-101") == 0;
    if (videos && f->kind == FOUND_FOLDER) return OK; /* read where they are */
    char *stage = format_text("%s/.videos", job->stage);
    if (videos) a.into = ".";
    const Placing p = {.archive = &a, .stage = videos ? stage : job->stage, .hooks = job->hooks};
    Status st = stage ? folder_make(p.stage, err) : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK)
        st = f->kind == FOUND_FOLDER ? place_folder(&p, f->path, f->name, false, placed, err)
                                     : place_archive(&p, f->path, placed, err);
    free(stage);
    return st;
}

Status ucf101_finish(SetJob *job, Error *err) {
    Frames frames = {0};
    char *videos = job->found[0].kind == FOUND_FOLDER ? format_text("%s", job->found[0].path)
                                                      : format_text("%s/.videos", job->stage);
    Status st = videos ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) st = add_list(&frames, job, videos, "trainlist01.txt", "train", err);
    if (st == OK) st = add_list(&frames, job, videos, "testlist01.txt", "val", err);
    if (st == OK) st = frames_make(&frames, &job->options->common, err);
    if (st == OK) st = tell_skipped(job, &frames, "ucf101/skipped.txt", err);
    frames_free(&frames);
    free(videos);
    return st;
}

/* --- Kinetics-700 ------------------------------------------------------------------------------------- */

/* Writes a label as a folder's name: without brackets, '_' for blanks, none at the ends. */
static char *clean_label(const char *label) {
    char *clean = format_text("%s", label), *to = clean;
    for (const char *c = label; clean && *c; c++)
        if (*c != '(' && *c != ')' && !(to == clean && (*c == ' ' || *c == '_')))
            *to++ = *c == ' ' ? '_' : *c;
    while (clean && to > clean && to[-1] == '_') to--;
    if (clean) *to = '\0';
    return clean;
}

/* Adds every <videos>/<label>/<id>.mp4. */
static Status add_videos(Frames *f, const SetJob *job, const char *videos, const char *split,
                         const char *label, Error *err) {
    char *inside = format_text("%s/%s", videos, label), *clean = clean_label(label);
    char *images = clean ? format_text("%s/k700/%s_images/%s", job->stage, split, clean) : NULL;
    DIR *folder = inside && images ? opendir(inside) : NULL;
    Status st = inside && images ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    for (struct dirent *e; folder && st == OK && (e = readdir(folder)) != NULL;) {
        const size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 4, ".mp4") != 0) continue;
        st = frames_add(f, format_text("%s/%s", inside, e->d_name), with_jpg(images, e->d_name, n),
                        err);
    }
    if (folder) closedir(folder);
    free(inside);
    free(clean);
    free(images);
    return st;
}

static Status add_labels(Frames *f, const SetJob *job, const char *videos, const char *split,
                         Error *err) {
    DIR *folder = opendir(videos);
    Status st = folder ? OK : fail(err, ERR_IO, "prepare: %s: %s", videos, strerror(errno));
    for (struct dirent *e; st == OK && (e = readdir(folder)) != NULL;)
        if (e->d_name[0] != '.') st = add_videos(f, job, videos, split, e->d_name, err);
    if (folder) closedir(folder);
    return st;
}

/* Unpacks one archive, takes the frames, and removes the videos again. */
static Status one_archive(const SetJob *job, const char *split, const char *archive,
                          const char *name, Error *err) {
    const ManifestArchive a = {.name = name, .into = "."};
    char *videos = format_text("%s/.videos", job->stage),
         *errors = format_text("k700/%s_skipped.txt", split);
    const Placing p = {.archive = &a, .stage = videos, .hooks = job->hooks};
    Placed placed = {0};
    Frames frames = {0};
    Status st = videos && errors ? remove_tree(videos, err)
                                 : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) st = folder_make(videos, err);
    if (st == OK) st = place_archive(&p, archive, &placed, err);
    if (st == OK) st = add_labels(&frames, job, videos, split, err);
    if (st == OK) st = frames_make(&frames, &job->options->common, err);
    if (st == OK) st = tell_skipped(job, &frames, errors, err);
    if (st == OK) st = remove_tree(videos, err);
    frames_free(&frames);
    free(videos);
    free(errors);
    return st;
}

/* Works through the archives that the split's list names, each once: <stage>/.state remembers them. */
static Status kinetics_split(SetJob *job, const char *split, Error *err) {
    TextLines lines;
    TextLine line;
    char *list = format_text("%s/%s/k700_2020_%s_path.txt", job->from, split, split);
    Status st = list ? text_lines_open(&lines, "prepare", list, err)
                     : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st != OK) {
        free(list);
        return st;
    }
    while (st == OK && text_lines_next(&lines, &line)) {
        const char *slash = strrchr(line.text, '/'), *name = slash ? slash + 1 : line.text;
        if (line.blank) continue;
        if (!is_name(name, strlen(name))) {
            st = text_line_bad(&lines, line.number, err,
                               "'%.100s': expected the address of an archive", line.text);
            break;
        }
        char *archive = format_text("%s/%s/%s", job->from, split, name),
             *id = format_text("%s/%s", split, name);
        if (!archive || !id) st = fail(err, ERR_MEMORY, "prepare: out of memory");
        else if (!stage_has(job, id)) {
            notice(job->hooks, "prepare: %s", id);
            st = one_archive(job, split, archive, name, err);
            if (st == OK) st = stage_note(job, id, err);
        }
        free(archive);
        free(id);
    }
    text_lines_close(&lines);
    free(list);
    return st;
}

Status kinetics_finish(SetJob *job, Error *err) {
    const Status st = kinetics_split(job, "train", err);
    return st == OK ? kinetics_split(job, "val", err) : st;
}
