/* sweep_earlier.c - what an earlier sweep left: finished runs are read back, others thrown away. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/prior.h"
#include "host/sweep/sweep.h"
#include "io/text/json_reader.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sweep: out of memory");
}

enum { MOST_OPTIONS = 4096 };

/* Facts that run.json holds. */
typedef struct {
    bool finished, scored;
    int64_t T;
    char options[MOST_OPTIONS];
} Saved;

/* Keeps the member as it was written, for run_options_json writes the same options in the same way. */
static void read_options(Saved *saved, JsonReader *r) {
    if (json_peek(r) != '{') r->bad = true;
    const char *from = r->at;
    if (!json_skip(r)) return;
    if (r->at - from < MOST_OPTIONS) memcpy(saved->options, from, (size_t)(r->at - from));
    else r->bad = true;
}

/* Returns whether the options that a run was made with are those of these lines. */
static bool same_options(const Saved *saved, const char *lines) {
    Json j = {0};
    json_open(&j, NULL);
    run_options_json(&j, lines);
    json_close(&j);
    char *text = json_take(&j), *object = text ? strchr(text + 1, '{') : NULL;
    if (object) object[strlen(object) - 1] = '\0'; /* the brace that closes the outer one */
    const bool same = object && strcmp(object, saved->options) == 0;
    free(text);
    return same;
}

static bool read_saved(Saved *saved, TurtleSweepRun *run, const FileMap *map) {
    char key[64];
    JsonReader r = json_reader(map->data, map->bytes);
    const struct {
        const char *key;
        double *at;
    } numbers[] = {{"generalization_score", &run->generalization_score},
                   {"loss", &run->loss},
                   {"entropy", &run->entropy},
                   {"cluster_acc", &run->cluster_acc},
                   {"seconds", &run->seconds}};
    enum { NUMBERS = sizeof numbers / sizeof *numbers };
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key)) {
        int i = 0;
        while (i < NUMBERS && strcmp(key, numbers[i].key) != 0) i++;
        if (i < NUMBERS) json_real_value(&r, numbers[i].at);
        else if (strcmp(key, "finished") == 0) json_bool_value(&r, &saved->finished);
        else if (strcmp(key, "cross_val") == 0) json_bool_value(&r, &saved->scored);
        else if (strcmp(key, "T") == 0) json_integer_value(&r, &saved->T);
        else if (strcmp(key, "options") == 0) read_options(saved, &r);
        else json_skip(&r);
    }
    return json_finished(&r);
}

/* Reads the reason that a run which diverged left in failed.txt. */
static Status read_failure(Sweep *s, int64_t r, Error *err) {
    FileMap map;
    char *path = sweep_run_path(s, r, "failed.txt");
    Status st = path ? OK : out_of_memory(err);
    if (st == OK && file_exists(path)) {
        st = file_map(&map, path, err);
        if (st == OK) {
            const size_t n = map.bytes ? (size_t)map.bytes - 1 : 0; /* without the newline */
            s->result->run[r].failed = strndup(n ? (const char *)map.data : "", n);
            s->done[r] = true;
            file_unmap(&map);
            if (!s->result->run[r].failed) st = out_of_memory(err);
        }
    }
    free(path);
    return st;
}

/* Reads the results of a run that is finished. */
static Status read_run(Sweep *s, int64_t r, Error *err) {
    TurtleSweepRun *run = &s->result->run[r];
    Saved saved = {0};
    FileMap map;
    Prior prior = {0};
    char *path = sweep_run_path(s, r, "run.json"), *options = NULL;
    Status st = path ? file_map(&map, path, err) : out_of_memory(err);
    if (st != OK) goto out;
    const bool whole = read_saved(&saved, run, &map);
    file_unmap(&map);
    if (!whole) {
        st = fail(err, ERR_FORMAT, "sweep: %s is damaged: remove its folder, or --restart", path);
        goto out;
    }
    s->done[r] = saved.finished;
    char differs[MADE_TEXT];
    if (run_features_differ(differs, path, &s->features)) {
        st = fail(err, ERR_ARG,
                  "sweep: %s was made of %s: give those features, another --out, or --restart",
                  path, differs);
        goto out;
    }
    if (!saved.finished) goto out;
    Inputs in = s->in;
    in.C = run->classes;
    const TurtleTrainOptions t = sweep_train_options(s, r, NULL);
    st = prior_open(&prior, t.prior, in.C, err);
    if (st == OK && !(options = run_options(&t, &in, prior.name))) st = out_of_memory(err);
    if (st == OK &&
        (!same_options(&saved, options) || saved.T != t.T || saved.scored != t.cross_val))
        st = fail(err, ERR_ARG,
                  "sweep: %s was made with other options or data: give those (--T, --batch_size, "
                  "--no_score, ...), another --out, or --restart",
                  path);
out:
    prior_free(&prior);
    free(options);
    free(path);
    return st;
}

/* Removes what an earlier sweep left of a run, unless another call is at work there. */
static Status throw_away(const Sweep *s, int64_t r, Error *err) {
    static const char *const left[] = {"run.json", "resume.pt", "failed.txt"};
    Lock lock = {0};
    char *folder = format_text("%s/%s", s->result->folder, s->result->run[r].name);
    Status st = folder ? OK : out_of_memory(err);
    if (st == OK && file_exists(folder)) st = run_dir_lock(&lock, folder, err);
    for (int i = 0; st == OK && i < 3; i++) {
        char *path = sweep_run_path(s, r, left[i]);
        if (!path) st = out_of_memory(err);
        else if (file_exists(path) && remove(path) != 0)
            st = fail(err, ERR_IO, "sweep: %s: %s", path, strerror(errno));
        free(path);
    }
    lock_close(&lock);
    free(folder);
    return st;
}

static bool run_has(const Sweep *s, int64_t r, const char *file) {
    char *path = sweep_run_path(s, r, file);
    const bool has = path && file_exists(path);
    free(path);
    return has;
}

/* Finds the finished runs; what is there without --resume or --restart is an error. */
Status sweep_look_back(Sweep *s, Error *err) {
    const TurtleSweepOptions *o = s->options;
    char *table = format_text("%s/sweep%s.json", s->result->folder, s->piece);
    bool there = table && file_exists(table);
    free(table);
    Status st = OK;
    if (o->resume) run_features_made(&s->features, &s->in);
    for (int64_t r = 0; st == OK && r < s->result->runs; r++) {
        const bool made = run_has(s, r, "run.json"), failed = run_has(s, r, "failed.txt");
        there |= made || failed || run_has(s, r, "resume.pt");
        if (o->restart) st = throw_away(s, r, err);
        else if (o->resume && failed) st = read_failure(s, r, err);
        else if (o->resume && made) st = read_run(s, r, err);
    }
    if (st == OK && there && !o->resume && !o->restart)
        st = fail(err, ERR_ARG,
                  "sweep: %s holds runs of an earlier sweep: keep them with --resume or "
                  "throw them away with --restart",
                  s->result->folder);
    return st;
}
