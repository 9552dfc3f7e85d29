/* run_dir.c - what a training run leaves on the disk, and where. */
#include "host/train/run_dir.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/inputs/inputs.h"
#include "host/tell/common.h"
#include "host/tell/json.h"
#include "io/text/text_lines.h"

/* --- paths ------------------------------------------------------------------------------------ */

/* Returns the published name,
 * turtle_<phis>_innerlr0.001_outerlr0.001_T6000_M10_coldstart_gamma10.0_bs10000_seed42[_priorpower0.5][_rngtorch][_bf16].pt;
 * what the published implementation lacks is appended where not default. The default random numbers
 * are ours (philox), so a name with `_rngtorch` holds the published ones. */
static char *checkpoint_name(const TurtleTrainOptions *o, const char *usual, const char *prior,
                             const char *phis) {
    const char *precision = precision_used(&o->common);
    const bool as_usual = strcmp(precision, usual) == 0, uniform = strcmp(prior, "uniform") == 0;
    char shown[48]; /* "power0.5" */
    snprintf(shown, sizeof shown, "%.*s%s", (int)strcspn(prior, ":"), prior,
             prior[strcspn(prior, ":")] ? strchr(prior, ':') + 1 : "");
    char inner[REAL_TEXT], outer[REAL_TEXT], gamma[REAL_TEXT];
    return format_text(
        "turtle_%s_innerlr%s_outerlr%s_T%lld_M%lld_%sstart_gamma%s_bs%lld_seed%llu%s%s%s%s%s.pt",
        phis, format_real(inner, o->inner_lr), format_real(outer, o->outer_lr), (long long)o->T,
        (long long)o->M, o->warm_start ? "warm" : "cold", format_real(gamma, o->gamma),
        (long long)o->batch_size, (unsigned long long)o->common.seed, uniform ? "" : "_prior",
        uniform ? "" : shown, strcmp(o->rng, "torch") == 0 ? "_rngtorch" : "", as_usual ? "" : "_",
        as_usual ? "" : precision);
}

char *run_options(const TurtleTrainOptions *o, const Inputs *in, const char *prior) {
    char inner[REAL_TEXT], outer[REAL_TEXT], gamma[REAL_TEXT];
    char *text = format_text(
        "classes %lld\nM %lld\ninner_lr %s\nouter_lr %s\ngamma %s\n"
        "batch_size %lld\nstart %s\nrng %s\nprecision %s\nseed %llu\nsamples %lld\n",
        (long long)in->C, (long long)o->M, format_real(inner, o->inner_lr),
        format_real(outer, o->outer_lr), format_real(gamma, o->gamma), (long long)o->batch_size,
        o->warm_start ? "warm" : "cold", o->rng, precision_used(&o->common),
        (unsigned long long)o->common.seed, (long long)in->train.N);
    if (text && strcmp(prior, "uniform") != 0) { /* states from before priors have no such line */
        char *longer = format_text("%sprior %s\n", text, prior);
        free(text);
        text = longer;
    }
    for (int k = 0; text && k < in->K; k++) {
        char *longer =
            format_text("%sdimension %lld\n", text, (long long)in->train.space[k].features.d);
        free(text);
        text = longer;
    }
    return text;
}

/* Adds a number, or a text where it is none. A seed beyond 63 bits stays a text, for no digit may
 * be lost. */
static void json_option(Json *j, const char *name, const char *value) {
    char *end;
    errno = 0;
    const long long whole = strtoll(value, &end, 10);
    if (end != value && !*end && errno == 0) {
        json_integer(j, name, whole);
        return;
    }
    const double real = strtod(value, &end);
    if (end != value && !*end && strchr(value, '.')) json_real(j, name, real);
    else json_text(j, name, value);
}

void run_options_json(Json *j, const char *lines) {
    json_open(j, "options");
    int dimension = 0;
    for (const char *at = lines; *at;) {
        const size_t n = strcspn(at, "\n"), name = strcspn(at, " ");
        char key[64], value[256];
        snprintf(key, sizeof key, "%.*s", (int)name, at);
        if (strcmp(key, "dimension") == 0) /* each space has one, in turn */
            snprintf(key, sizeof key, "dimension_%d", ++dimension);
        snprintf(value, sizeof value, "%.*s", (int)(n - name - 1), at + name + 1);
        json_option(j, key, value);
        at += n + (at[n] == '\n');
    }
    json_close(j);
}

static bool decide_paths(RunDir *out, const TurtleTrainOptions *o, const char *usual,
                         const char *prior, const Inputs *in) {
    if (o->out) {
        out->folder = format_text("%s", o->out);
        out->checkpoint = format_text("%s/checkpoint.pt", o->out);
    } else {
        char *name = checkpoint_name(o, usual, prior, in->phis);
        if (name)
            out->checkpoint = format_text("%s/task_checkpoints/%dspace/%s/%s/%s",
                                          o->common.root_dir, in->K, in->phis, in->dataset, name);
        free(name);
        if (out->checkpoint)
            out->folder = format_text("%.*s", (int)(strlen(out->checkpoint) - strlen(".pt")),
                                      out->checkpoint);
    }
    if (out->folder) out->resume = format_text("%s/resume.pt", out->folder);
    out->options = run_options(o, in, prior);
    return out->checkpoint && out->resume && out->options;
}

/* Adds the features of a split. */
static void split_made(Made *m, const char *prefix, const Split *split, int K) {
    char name[MADE_NAME], what[96];
    for (int k = 0; split->N && k < K; k++) {
        const Features *f = &split->space[k].features;
        snprintf(name, sizeof name, "%sfeatures[%d]", prefix, k + 1);
        snprintf(what, sizeof what, "%lld x %lld %s", (long long)f->N, (long long)f->d,
                 dtype_name(f->type));
        made_add_bytes(m, name, what, f->data, f->N * f->d * dtype_bytes(f->type));
    }
}

/* Lists all that the results depend on. The seed is left out: it is the number of the attempt, and another
 * attempt in the same place is what a user who gives another seed asks for. */
static void run_made(Made *m, const TurtleTrainOptions *o, const char *usual, const char *prior,
                     const Inputs *in) {
    char number[REAL_TEXT];
    const int64_t N = in->train.N;
    made_add(m, "--classes", "%lld", (long long)in->C);
    made_add(m, "--T", "%lld", (long long)o->T);
    made_add(m, "--M", "%lld", (long long)o->M);
    made_add(m, "--inner_lr", "%s", format_real(number, o->inner_lr));
    made_add(m, "--outer_lr", "%s", format_real(number, o->outer_lr));
    made_add(m, "--gamma", "%s", format_real(number, o->gamma));
    made_add(m, "--batch_size", "%lld", (long long)(o->batch_size < N ? o->batch_size : N));
    made_add(m, "--warm_start", "%s", o->warm_start ? "yes" : "no");
    made_add(m, "--prior", "%s", prior);
    made_add(m, "--rng", "%s", o->rng);
    made_add(m, "--cross_val", "%s", o->cross_val ? "yes" : "no");
    made_add(m, "--precision", "%s", /* each device has its own, and the device does not count */
             strcmp(precision_used(&o->common), usual) == 0 ? "auto" : precision_used(&o->common));
    split_made(m, "", &in->train, in->K);
    split_made(m, "val_", &in->val, in->K);
}

void run_features_made(Made *m, const Inputs *in) {
    *m = (Made){0};
    split_made(m, "", &in->train, in->K);
}

bool run_features_differ(char text[MADE_TEXT], const char *run_json, const Made *now) {
    MadeFile earlier;
    Made before = {0}, these = {0};
    Error ignored;
    if (made_read(&earlier, run_json, &ignored) != OK || !earlier.known) return false;
    const Made *const from[] = {&earlier.made, now};
    Made *const to[] = {&before, &these};
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < from[m]->count; i++)
            if (strncmp(from[m]->item[i].name, "features[", 9) == 0)
                to[m]->item[to[m]->count++] = from[m]->item[i];
    return made_differs(text, &before, &these) > 0;
}

/* A finished run is replaced by the same call alone, or where --restart says so. */
static Status check_finished(const RunDir *dir, const TurtleTrainOptions *o, Error *err) {
    char text[MADE_TEXT];
    MadeFile earlier;
    if (o->restart) return OK;
    char *path = format_text("%s/run.json", dir->folder);
    Status st =
        path ? made_read(&earlier, path, err) : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    if (st == ERR_FORMAT)
        return fail(err, ERR_FORMAT,
                    "training: %s/run.json is damaged: write elsewhere, or replace the run with "
                    "--restart",
                    dir->folder);
    if (st != OK || (earlier.there && !earlier.finished)) return st;
    if (!earlier.there && file_exists(dir->checkpoint))
        return fail(err, ERR_ARG,
                    "training: %s was not made by turtle train: write elsewhere with --out DIR, or "
                    "replace it with --restart",
                    dir->checkpoint);
    if (earlier.there && !earlier.known)
        return fail(err, ERR_ARG,
                    "training: %s holds a finished run of an earlier version: write elsewhere with "
                    "--out DIR, or replace it with --restart",
                    dir->folder);
    if (!earlier.there || made_differs(text, &earlier.made, &dir->made) == 0) return OK;
    return fail(err, ERR_ARG,
                "training: %s holds a finished run made with %s: write elsewhere with --out DIR, "
                "or replace it with --restart",
                dir->folder, text);
}

/* Refuses other features than the unfinished run's: the state has the options, but not what it was
 * made of. */
static Status check_continued(const RunDir *dir, Error *err) {
    char text[MADE_TEXT], *path = format_text("%s/run.json", dir->folder);
    if (!path) return fail(err, ERR_MEMORY, "training: out of memory");
    const bool differ = run_features_differ(text, path, &dir->made);
    free(path);
    if (!differ) return OK;
    return fail(err, ERR_ARG,
                "training: %s holds an unfinished run of %s: give its features, write elsewhere "
                "with --out DIR, or throw it away with --restart",
                dir->folder, text);
}

/* An unfinished run is continued, or thrown away, where the caller says so. */
static Status check_unfinished(const RunDir *dir, const TurtleTrainOptions *o, Error *err) {
    if (!file_exists(dir->resume)) return OK;
    if (o->restart && remove(dir->resume) != 0)
        return fail(err, ERR_IO, "training: %s: %s", dir->resume, strerror(errno));
    if (o->restart) return OK;
    if (o->resume) return check_continued(dir, err);
    return fail(err, ERR_ARG,
                "training: %s holds an unfinished run: continue it with --resume or throw it "
                "away with --restart",
                dir->folder);
}

Status run_dir_lock(Lock *out, const char *folder, Error *err) {
    char *path = format_text("%s/.turtle.lock", folder);
    const Status st =
        path ? lock_open(out, path, folder, err) : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    return st;
}

Status run_dir_open(RunDir *out, const TurtleTrainOptions *o, const char *usual, const char *prior,
                    const Inputs *in, Error *err) {
    *out = (RunDir){0};
    if (o->resume && o->restart)
        return fail(err, ERR_USAGE, "training: --resume and --restart exclude each other");
    if (!o->out && o->inputs.Z.count && o->resume)
        return fail(err, ERR_USAGE, "training: resume needs a run directory: give `out`");
    if (!o->out && o->inputs.Z.count) { /* results are the caller's alone */
        out->options = run_options(o, in, prior);
        return out->options ? OK : fail(err, ERR_MEMORY, "training: out of memory");
    }
    if (!o->out && !o->inputs.dataset)
        return fail(err, ERR_USAGE, "training: --features needs --out DIR for the results");
    Status st = OK;
    if (!decide_paths(out, o, usual, prior, in))
        st = fail(err, ERR_MEMORY, "training: out of memory");
    if (st == OK) st = folder_make(out->folder, err);
    if (st == OK) st = run_dir_lock(&out->lock, out->folder, err);
    if (st == OK) run_made(&out->made, o, usual, prior, in);
    if (st == OK) st = check_unfinished(out, o, err);
    if (st == OK && !file_exists(out->resume)) st = check_finished(out, o, err);
    if (st != OK) run_dir_close(out);
    return st;
}

void run_dir_close(RunDir *dir) {
    if (!dir) return;
    if (dir->log) fclose(dir->log);
    lock_close(&dir->lock);
    free(dir->folder);
    free(dir->checkpoint);
    free(dir->resume);
    free(dir->options);
    *dir = (RunDir){0};
}

/* --- log -------------------------------------------------------------------------------------- */

/* Returns the bytes of the log that belong to the first `iterations` iterations. */
static int64_t log_kept(const FileMap *map, int64_t iterations) {
    int64_t kept = 0;
    while (kept < map->bytes) {
        const char *line = (const char *)map->data + kept;
        const char *end = memchr(line, '\n', (size_t)(map->bytes - kept));
        long long iteration;
        if (!end || sscanf(line, "{\"iteration\": %lld", &iteration) != 1 || iteration > iterations)
            break;
        kept = end + 1 - (const char *)map->data;
    }
    return kept;
}

Status run_dir_open_log(RunDir *dir, int64_t iterations, Error *err) {
    if (!dir->folder) return OK;
    char *path = format_text("%s/log.jsonl", dir->folder);
    Status st = OK;
    int64_t kept = 0;
    if (!path) return fail(err, ERR_MEMORY, "training: out of memory");
    if (iterations > 0 && file_exists(path)) {
        FileMap map;
        st = file_map(&map, path, err);
        if (st == OK) kept = log_kept(&map, iterations);
        file_unmap(&map);
    }
    if (st == OK) {
        dir->log = fopen(path, kept ? "r+" : "w");
        if (!dir->log || (kept && (ftruncate(fileno(dir->log), kept) != 0 ||
                                   fseeko(dir->log, kept, SEEK_SET) != 0)))
            st = fail(err, ERR_IO, "training: %s: %s", path, strerror(errno));
    }
    free(path);
    return st;
}

Status run_dir_log(RunDir *dir, const TurtleProgress *p, Error *err) {
    if (!dir->folder) return OK;
    Json j = {0};
    json_open(&j, NULL);
    json_integer(&j, "iteration", p->iteration);
    json_real(&j, "loss", p->loss);
    json_real(&j, "entropy", p->entropy);
    json_integer(&j, "clusters_found", p->clusters_found);
    json_real(&j, "cluster_acc", p->cluster_acc);
    json_real(&j, "seconds", p->seconds);
    json_close(&j);
    char *line = json_take(&j);
    const bool written = line && fprintf(dir->log, "%s\n", line) > 0 && fflush(dir->log) == 0;
    free(line);
    return written ? OK
                   : fail(err, ERR_IO, "training: %s/log.jsonl: %s", dir->folder, strerror(errno));
}
