/* prepare.c - turtle_prepare: data sets, weights, released labelings, or a list of what is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static Status unknown_phi(const PhiTable *t, const char *phi, Error *err) {
    enum { MOST = 256 };
    const char *names[MOST];
    for (int i = 0; i < t->count && i < MOST; i++) names[i] = t->row[i].phi;
    const char *near = nearest_word(phi, names, t->count);
    return fail(err, ERR_USAGE, "prepare: --phis %s: no address of such weights is known%s%s%s",
                phi, near ? ": did you mean " : "", near ? near : "",
                near ? "?" : "; turtle prepare --list names them");
}

/* Copies the file that --from holds under its published name or under the name of its place. */
static Status phi_from(const PublishedFile *file, const PhiRow *row, const char *from, Error *err) {
    const char *names[] = {strrchr(row->url, '/') + 1,
                           strrchr(row->place, '/') ? strrchr(row->place, '/') + 1 : row->place};
    char *path = NULL;
    for (int i = 0; i < 2 && !(path && file_exists(path)); i++) {
        free(path);
        path = format_text("%s/%s", from, names[i]);
    }
    Status st = path && file_exists(path)
                    ? published_check(file, path, err)
                    : fail(err, ERR_IO, "prepare: %s: %s lacks %s", row->phi, from, names[0]);
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

/* Fetches one file of weights unless it is there and right. `folder` is the absolute path of checkpoints/. */
static Status prepare_phi(const TurtlePrepareOptions *o, const PhiRow *row, const char *folder,
                          char **text, Json *j, Error *err) {
    char *path = format_text("%s/%s", folder, row->place),
         *name = format_text("phis/%s", strrchr(row->url, '/') + 1);
    const PublishedFile file = {.path = path,
                                .name = name,
                                .url = &row->url,
                                .urls = 1,
                                .size = row->size,
                                .sha256 = row->sha256,
                                .unverified = o->unverified,
                                .hooks = &o->common.hooks};
    Status st = path && name ? OK : fail(err, ERR_MEMORY, "prepare: out of memory");
    struct stat s;
    if (st == OK && stat(path, &s) == 0) {
        st = published_check(&file, path, err);
    } else if (st == OK) {
        char *slash = strrchr(path, '/');
        *slash = '\0';
        st = folder_make(path, err);
        *slash = '/';
        if (st == OK && row->size > 0) st = check_free_space(folder, row->size, row->phi, err);
        if (st == OK)
            st = o->from ? phi_from(&file, row, o->from, err) : published_fetch(&file, err);
    }
    if (st == OK && stat(path, &s) == 0) {
        char size[24];
        add_line(text, "%s  %s  (%s)\n", row->phi, path, size_text_of(size, (int64_t)s.st_size));
        json_text(j, NULL, path);
    }
    free(path);
    free(name);
    return st;
}

static Status prepare_phis(const TurtlePrepareOptions *o, char **text, Json *j, bool *verified,
                           Error *err) {
    PhiTable phis;
    Lock lock = {0};
    char *wanted = format_text("%s/checkpoints", o->common.root_dir), *folder = NULL,
         *lock_path = NULL;
    Status st = phi_table_open(&phis, err);
    for (int i = 0; st == OK && i < o->phis.count; i++)
        if (!phi_row(&phis, o->phis.item[i])) st = unknown_phi(&phis, o->phis.item[i], err);
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
        const PhiRow *row = phi_row(&phis, o->phis.item[i]);
        *verified &= row->sha256 != NULL;
        st = prepare_phi(o, row, folder, text, j, err);
    }
    json_close_array(j);
    lock_close(&lock);
    phi_table_close(&phis);
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
