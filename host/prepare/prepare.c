/* prepare.c - turtle_prepare: data sets, weights, released labelings, or a list of what is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/inputs/published.h"
#include "host/prepare/fetch.h"
#include "host/prepare/listing.h"
#include "host/prepare/set.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/lines.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/tell/words.h"
#include "io/files/file.h"

void turtle_prepare_defaults(TurtlePrepareOptions *o) {
    *o = (TurtlePrepareOptions){.common = common_defaults()};
}

void turtle_prepare_result_free(TurtlePrepareResult *r) {
    if (!r) return;
    free(r->text);
    free(r->json);
    *r = (TurtlePrepareResult){0};
}

/* --- weights -------------------------------------------------------------------------------------- */

static Status unknown_phi(const char *phi, Error *err) {
    enum { MOST = 128 };
    const char *names[MOST];
    int n = 0;
    for (const PublishedModel *m = model_first(); m && n < MOST; m = model_next(m))
        names[n++] = m->phi;
    const char *near = nearest_word(phi, names, n);
    return fail(err, ERR_USAGE, "prepare: --phis %s: no address of such weights is known%s%s%s",
                phi, near ? ": did you mean " : "", near ? near : "",
                near ? "?" : "; turtle prepare --list names them");
}

/* Returns the name of the file where files of all encoders lie side by side: many repositories of a hub give
 * theirs one name, so the repository's stands in front. */
static const char *lone_name(const PublishedModel *m) {
    const char *repository = m->hub ? strrchr(m->hub, '/') + 1 : NULL;
    const char *at = repository ? strstr(m->file, repository) : NULL;
    return at ? at : strrchr(m->file, '/') + 1;
}

/* Copies the file that --from holds under its published name; `lone`: no other file is asked for. */
static Status phi_from(const PublishedFile *file, const PublishedModel *m, const char *from,
                       bool lone, Error *err) {
    const char *names[] = {lone_name(m), lone ? strrchr(m->file, '/') + 1 : lone_name(m)};
    char *path = NULL;
    for (int i = 0; i < 2 && !(path && file_exists(path)); i++) {
        free(path);
        path = format_text("%s/%s", from, names[i]);
    }
    Status st = path && file_exists(path)
                    ? published_check(file, path, err)
                    : fail(err, ERR_IO, "prepare: %s: %s lacks %s", m->phi, from, names[0]);
    char *slash = strrchr(file->path, '/'),
         *folder = format_text("%.*s", (int)(slash - file->path), file->path);
    const Placing p = {.stage = folder, .hooks = file->hooks};
    Placed placed = {0};
    if (st == OK && !folder) st = fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK) st = place_file(&p, path, slash + 1, &placed, err);
    free(folder);
    free(path);
    return st;
}

/* Brings the file to its place, from --from or from its address. */
static Status bring_phi(const TurtlePrepareOptions *o, const PublishedFile *file,
                        const PublishedModel *m, const char *folder, Error *err) {
    if (!o->from && !m->url && !getenv("TURTLE_MIRROR")) {
        char *steps = model_steps(m, o->common.root_dir), size[32];
        const Status st = steps ? fail(err, ERR_IO, "prepare: %s: %s is missing (%s): %s", m->phi,
                                       file->path, model_size_text(size, m), steps)
                                : fail(err, ERR_MEMORY, "prepare: out of memory");
        free(steps);
        return st;
    }
    char *slash = strrchr(file->path, '/'),
         *parent = format_text("%.*s", (int)(slash - file->path), file->path);
    Status st = parent ? folder_make(parent, err) : fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st == OK && m->bytes > 0) st = check_free_space(folder, m->bytes, m->phi, err);
    if (st == OK)
        st = o->from ? phi_from(file, m, o->from, o->phis.count == 1, err)
                     : published_fetch(file, err);
    free(parent);
    return st;
}

/* Fetches one file of weights unless it is there and right. `folder` is the absolute path of checkpoints/. */
static Status prepare_phi(const TurtlePrepareOptions *o, const PublishedModel *m,
                          const char *folder, char **text, Json *j, Error *err) {
    char *path = format_text("%s/%s", folder, m->file),
         *name = format_text("phis/%s", lone_name(m)), *other = NULL;
    const PublishedFile file = {.path = path,
                                .name = name,
                                .url = &m->url,
                                .urls = m->url != NULL,
                                .size = m->bytes,
                                .sha256 = m->sha256,
                                .unverified = o->unverified,
                                .hooks = &o->common.hooks};
    Status st = path && name ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    struct stat s;
    if (st == OK && stat(path, &s) == 0) st = published_check(&file, path, err);
    else if (st == OK) {
        st = model_locate(&other, o->common.root_dir, m, err); /* a hub's download serves as well */
        if (st == OK && !other) st = bring_phi(o, &file, m, folder, err);
    }
    const char *there = other ? other : path;
    if (st == OK && stat(there, &s) == 0) {
        char size[24];
        add_line(text, "%s  %s  (%s)\n", m->phi, there, size_text_of(size, (int64_t)s.st_size));
        json_text(j, NULL, there);
    }
    free(other);
    free(path);
    free(name);
    return st;
}

static Status prepare_phis(const TurtlePrepareOptions *o, char **text, Json *j, bool *verified,
                           Error *err) {
    Lock lock = {0};
    char *wanted = format_text("%s/checkpoints", o->common.root_dir), *folder = NULL,
         *lock_path = NULL;
    Status st = OK;
    for (int i = 0; st == OK && i < o->phis.count; i++)
        if (!model_find(o->phis.item[i])) st = unknown_phi(o->phis.item[i], err);
    if (st == OK && wanted) st = folder_make(wanted, err);
    if (st == OK && wanted) folder = realpath(wanted, NULL);
    if (st == OK && folder) lock_path = format_text("%s/.prepare.lock", folder);
    if (st == OK && !lock_path)
        st = fail(err, ERR_IO, "prepare: %s/checkpoints: cannot be used: %s", o->common.root_dir,
                  strerror(errno));
    if (st == OK) st = lock_open(&lock, lock_path, folder, err);
    json_open_array(j, "files");
    *verified = !o->unverified;
    for (int i = 0; st == OK && i < o->phis.count; i++) {
        const PublishedModel *m = model_find(o->phis.item[i]);
        *verified &= m->sha256 != NULL;
        st = prepare_phi(o, m, folder, text, j, err);
    }
    json_close_array(j);
    lock_close(&lock);
    free(wanted);
    free(folder);
    free(lock_path);
    return st;
}

/* --- data sets -------------------------------------------------------------------------------------- */

static Status prepare_set(const TurtlePrepareOptions *o, TurtlePrepareResult *out, Json *j,
                          Error *err) {
    SetCounts counts = {0};
    const char *set = o->checkpoints ? "checkpoints" : o->dataset;
    if (!o->checkpoints && strcmp(set, "checkpoints") == 0)
        return fail(err, ERR_USAGE, "prepare: --dataset checkpoints: expected --checkpoints");
    const Status st =
        set_prepare(&counts, o, set, o->checkpoints ? "task_checkpoints" : "datasets", err);
    if (st == OK && o->checkpoints) {
        add_line(&out->text,
                 "%s holds the released labelings: turtle evaluate --ckpt_path takes the folder\n",
                 counts.place);
        json_text(j, "place", counts.place);
    } else if (st == OK) {
        out->train = counts.train;
        out->val = counts.val;
        out->classes = counts.classes;
        add_line(&out->text, "%s: %lld images to train on, %lld to score, %lld classes, %s\n%s\n",
                 set, (long long)counts.train, (long long)counts.val, (long long)counts.classes,
                 counts.verified ? "verified" : "not verified", counts.place);
        json_text(j, "dataset", set);
        json_integer(j, "train", counts.train);
        json_integer(j, "val", counts.val);
        json_integer(j, "classes", counts.classes);
    }
    out->verified = counts.verified;
    free(counts.place);
    return st;
}

static Status check_options(const TurtlePrepareOptions *o, Error *err) {
    const int asked = (o->dataset != NULL) + (o->phis.count > 0) + o->checkpoints + o->list;
    if (asked != 1)
        return fail(err, ERR_USAGE,
                    "prepare: %s: expected one of --dataset, --phis, --checkpoints and --list",
                    asked ? "several things at once" : "nothing to do");
    if (o->list && (o->from || o->unverified))
        return fail(err, ERR_USAGE,
                    "prepare: --list looks only: it takes neither --from nor --unverified");
    return OK;
}

Status turtle_prepare(const TurtlePrepareOptions *options, TurtlePrepareResult *out, Error *err) {
    PLAIN_LOCALE;
    Json j = {0};
    const double started = now_seconds();
    *out = (TurtlePrepareResult){.train = -1, .val = -1, .classes = -1};
    Status st = check_options(options, err);
    if (st != OK) return st;
    json_open(&j, NULL);
    json_common(&j, "prepare", &options->common, "cpu", "fp32");
    if (options->list) st = listing_tell(options, &out->text, &j, err);
    else if (options->phis.count) st = prepare_phis(options, &out->text, &j, &out->verified, err);
    else st = prepare_set(options, out, &j, err);
    out->seconds = now_seconds() - started;
    if (!options->list) json_bool(&j, "verified", out->verified);
    json_real(&j, "seconds", out->seconds);
    json_close(&j);
    out->json = json_take(&j);
    if (st == OK && (!out->json || !out->text))
        st = fail(err, ERR_MEMORY, "prepare: out of memory");
    if (st != OK) turtle_prepare_result_free(out);
    return st;
}
