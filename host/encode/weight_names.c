/* weight_names.c - wrappers around a network's tensors: found by one tensor, taken off all. */
#include "host/encode/weight_names.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/shards.h"

/* --- networks --------------------------------------------------------------------------------- */

/* A way to name a network. The longest anchor that a name ends with counts, so that an anchor stands
 * above those that it ends with. */
typedef struct {
    const char *anchor; /* every network of the kind has it */
    const char *second; /* has it too: tells a network from a lone tensor of that name */
    const char *front;  /* is missing in front of these names */
    const char *text;   /* where its text encoder is, if it is one that is read */
    const char
        *other; /* names of text encoders of other kinds begin so; without `text`, of its own */
} Layout;

#define HF_TEXT "text_model.embeddings.token_embedding.weight"
static const Layout layouts[] = {
    {"visual.class_embedding", "visual.conv1.weight", "", "token_embedding.weight", "text."},
    {"visual.attnpool.positional_embedding", "visual.conv1.weight", "", "token_embedding.weight",
     "text."},
    {"vision_model.embeddings.class_embedding", "vision_model.embeddings.patch_embedding.weight",
     "", HF_TEXT, "text_model."},
    {"embeddings.class_embedding", "embeddings.patch_embedding.weight", "vision_model.", NULL,
     NULL},
    {"vision_model.head.probe", "vision_model.embeddings.patch_embedding.weight", "", NULL,
     "text_model."},
    {"head.probe", "embeddings.patch_embedding.weight", "vision_model.", NULL, "text_model."},
    {"attn_pool.latent", "patch_embed.proj.weight", "", NULL, "text."},
    {"embeddings.cls_token", "embeddings.patch_embeddings.projection.weight", "", NULL, NULL},
    {"embeddings.cls_token", "embeddings.patch_embeddings.weight", "", NULL, NULL}, /* DINOv3 */
    {"cls_token", "patch_embed.proj.weight", "", NULL, NULL},
    {"class_embedding", "conv1.weight", "visual.", NULL, NULL},
    {"attnpool.positional_embedding", "conv1.weight", "visual.", NULL, NULL},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* A network in the file: names that begin with the first `length` characters of `name`. */
typedef struct {
    char *name; /* name of its anchor in the file; owned */
    size_t length;
    const Layout *layout;
    int rank; /* the lowest is read */
} Candidate;

enum { MAX_CANDIDATES = 16, MAX_GROUPS = 12, MAX_LABEL = 64, MAX_LIST = 600 };

/* Counts of tensors that are passed over, by the part of the file that each belongs to. */
typedef struct {
    char label[MAX_LABEL];
    int count;
} Group;

typedef struct {
    Weights *w;
    Candidate candidate[MAX_CANDIDATES];
    int candidates;
    const Candidate *chosen;
    Group group[MAX_GROUPS]; /* the last takes what finds no other */
    int groups, inner;       /* inner: wrappers taken out of names */
} Unwrapping;

static Status no_memory(Weights *w) {
    return w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
}

/* --- words ------------------------------------------------------------------------------------ */

/* Averages over the training, which published loaders prefer. */
static const char *const averaged[] = {"teacher",
                                       "teacher_model",
                                       "teacher_backbone",
                                       "ema",
                                       "model_ema",
                                       "ema_model",
                                       "state_dict_ema",
                                       "ema_state_dict",
                                       "target_encoder",
                                       "model_ema_state_dict",
                                       NULL};
/* Networks that an average is taken of, or that serve the training alone. */
static const char *const serving[] = {
    "student",          "student_model", "student_backbone", "encoder_k",
    "momentum_encoder", "key_encoder",   "context_encoder",  NULL};
/* Parts behind or beside an encoder, on which its features do not depend. */
static const char *const heads[] = {"head",
                                    "heads",
                                    "head_dist",
                                    "dino_head",
                                    "ibot_head",
                                    "mlp_head",
                                    "classifier",
                                    "fc",
                                    "fc_norm",
                                    "pre_logits",
                                    "linear",
                                    "linear_head",
                                    "projector",
                                    "projectors",
                                    "predictor",
                                    "projection_head",
                                    "prediction_head",
                                    "prototypes",
                                    "decode_head",
                                    "neck",
                                    "queue",
                                    "queue_ptr",
                                    "auxiliary_head",
                                    "criterion",
                                    "loss",
                                    "dino_loss",
                                    "ibot_loss",
                                    "ibot_patch_loss",
                                    "koleo_loss",
                                    "attn_mask",
                                    "logit_bias",
                                    "logit_scale",
                                    "position_ids",
                                    NULL};
/* Wrappers that stand anywhere inside a name. */
static const char *const inner_wrappers[] = {"_fsdp_wrapped_module", "_checkpoint_wrapped_module",
                                             "_orig_mod", NULL};

/* Returns the length of the first segment of a name, without the '.' or '/' behind it. */
static size_t segment(const char *name) {
    return strcspn(name, "./");
}

static bool is_one_of(const char *text, size_t length, const char *const *words) {
    for (; *words; words++)
        if (strlen(*words) == length && memcmp(text, *words, length) == 0) return true;
    return false;
}

static bool begins_with(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* --- candidates ------------------------------------------------------------------------------- */

/* Removes wrappers from inside a name; one at its beginning stands in front of all names, or is a
 * mistake. Returns how many. */
static int drop_inner_wrappers(char *name) {
    int dropped = 0;
    for (char *at = name; *at;) {
        const size_t n = segment(at);
        if (at > name && at[-1] == '.' && at[n] == '.' && is_one_of(at, n, inner_wrappers)) {
            memmove(at, at + n + 1, strlen(at + n + 1) + 1);
            dropped++;
        } else {
            at += n + (at[n] != '\0');
        }
    }
    return dropped;
}

/* Returns true if the file has a tensor <the first `length` characters of front><rest>. */
static bool has_behind(const Weights *w, const char *front, size_t length, const char *rest) {
    for (int i = 0; i < w->file.count; i++)
        if (w->name[i] && strncmp(w->name[i], front, length) == 0 &&
            strcmp(w->name[i] + length, rest) == 0)
            return true;
    return false;
}

/* Returns the layout that a name is the anchor of, or NULL; *length receives what stands in front. Of
 * two with one anchor it is that whose second tensor is there too, else the first. */
static const Layout *layout_of(const Weights *w, const char *name, size_t *length) {
    const size_t n = strlen(name);
    const Layout *found = NULL;
    for (int i = 0; i < LAYOUTS; i++) {
        const Layout *l = &layouts[i];
        const size_t m = strlen(l->anchor);
        if (m > n || strcmp(name + n - m, l->anchor) != 0) continue;
        if (n > m && name[n - m - 1] != '.' && name[n - m - 1] != '/') continue;
        if (found && strcmp(l->anchor, found->anchor) != 0) break; /* a shorter one */
        if (!found) *length = n - m;
        if (has_behind(w, name, n - m, l->second)) return l;
        if (!found) found = l;
    }
    return found;
}

static bool has(const Weights *w, const char *name) {
    return has_behind(w, "", 0, name);
}

static int rank_of(const Weights *w, const Candidate *c) {
    int rank = 1;
    for (const char *at = c->name; at < c->name + c->length; at += segment(at) + 1) {
        if (is_one_of(at, segment(at), averaged)) rank = 0;
        if (is_one_of(at, segment(at), serving)) rank = 2;
    }
    return has_behind(w, c->name, c->length, c->layout->second) ? rank : rank + 3;
}

/* Returns true where a pooling head belongs to a network that has a class token too, which names it
 * better: timm has such networks, and none is served. */
static bool has_class_token(const Weights *w, const Candidate *c) {
    return strcmp(c->layout->anchor, "attn_pool.latent") == 0 &&
           has_behind(w, c->name, c->length, "cls_token");
}

static Status find_candidates(Unwrapping *u) {
    Weights *w = u->w;
    for (int i = 0; i < w->file.count; i++) {
        Candidate c = {0};
        c.layout = layout_of(w, w->name[i], &c.length);
        c.name = w->name[i];
        if (!c.layout || has_class_token(w, &c)) continue;
        if (u->candidates == MAX_CANDIDATES)
            return w->status =
                       fail(w->err, ERR_FORMAT,
                            "weights: %s: over %d networks in one file: save the tensors of "
                            "one alone",
                            w->path, MAX_CANDIDATES);
        c.name = strdup(w->name[i]);
        if (!c.name) return no_memory(w);
        c.rank = rank_of(w, &c);
        u->candidate[u->candidates++] = c;
    }
    for (int i = 0; i < u->candidates; i++)
        if (!u->chosen || u->candidate[i].rank < u->chosen->rank) u->chosen = &u->candidate[i];
    for (int i = 0; i < u->candidates; i++) {
        const Candidate *c = &u->candidate[i];
        if (c != u->chosen && c->rank == u->chosen->rank)
            return w->status = fail(w->err, ERR_FORMAT,
                                    "weights: %s: two networks, at %s and at %s: expected one; "
                                    "save the tensors of one alone",
                                    w->path, u->chosen->name, c->name);
    }
    return OK;
}

/* --- what is passed over ---------------------------------------------------------------------- */

static void pass_over(Unwrapping *u, int tensor, const char *label, size_t length) {
    Weights *w = u->w;
    char text[MAX_LABEL];
    int i = 0;
    snprintf(text, sizeof text, "%.*s", length < MAX_LABEL ? (int)length : MAX_LABEL - 1, label);
    while (i < u->groups && strcmp(u->group[i].label, text) != 0) i++;
    if (i == MAX_GROUPS) {
        i--;
        snprintf(u->group[i].label, MAX_LABEL, "others");
    } else if (i == u->groups) {
        memcpy(u->group[u->groups++].label, text, sizeof text);
    }
    u->group[i].count++;
    w->used[tensor] = true;
    free(w->name[tensor]);
    w->name[tensor] = NULL;
}

/* Returns where a name leaves the chosen front: the beginning of the first segment that differs, or
 * the end of the front. */
static size_t parting(const Candidate *chosen, const char *name) {
    size_t at = 0;
    while (at < chosen->length) {
        const size_t n = segment(chosen->name + at) + 1;
        if (strncmp(chosen->name + at, name + at, n) != 0) break;
        at += n;
    }
    return at;
}

/* Returns true if the name belongs to a network that was not chosen, or lies beside it. */
static bool is_of_another(const Unwrapping *u, const char *name) {
    for (int i = 0; i < u->candidates; i++) {
        const Candidate *c = &u->candidate[i];
        const size_t at = parting(u->chosen, c->name);
        if (c == u->chosen || at >= c->length) continue;
        if (strncmp(name, c->name, at + segment(c->name + at) + 1) == 0) return true;
    }
    return false;
}

/* Returns true if the part of a network that a name begins with is called as heads are, but is no
 * head here: SigLIP's pooling head, and what open_clip puts behind a trunk of timm. */
static bool is_own_part(const Candidate *c, const char *name, size_t at, size_t n) {
    const char *anchor = c->layout->anchor;
    if (at == c->length)
        return segment(anchor) == n && anchor[n] && memcmp(anchor, name + at, n) == 0;
    return n == 4 && memcmp(name + at, "head", 4) == 0 && begins_with(c->name + at, "trunk.");
}

/* Returns the network's own name of a tensor, "" if it is to be passed over as part of *label, of
 * *length characters, or NULL if it is not understood. */
static const char *own_name(const Unwrapping *u, const char *name, const char **label,
                            size_t *length) {
    const Candidate *c = u->chosen;
    const size_t at = parting(c, name), n = segment(name + at);
    const bool inside = at == c->length;
    *label = name + at;
    *length = n;
    if (is_of_another(u, name)) return "";
    /* another entry of the dictionary that the network lies in, or a dictionary beside its tensors */
    if (inside ? strchr(name + at, '/') != NULL : c->name[at + segment(c->name + at)] == '/')
        return "";
    if (!c->layout->text && c->layout->other && begins_with(name + at, c->layout->other)) return "";
    const bool scale = inside && c->layout->text && strcmp(name + at, "logit_scale") == 0;
    const bool own = scale || is_own_part(c, name, at, n);
    if (!own && (is_one_of(name + at, n, heads) || is_one_of(name + at, n, serving))) return "";
    return inside ? name + at : NULL;
}

/* --- names ------------------------------------------------------------------------------------ */

void weights_rename(Weights *w, int tensor, const char *front, const char *rest) {
    char *name = format_text("%s%s", front, rest);
    if (!name) no_memory(w);
    free(w->name[tensor]);
    w->name[tensor] = name;
}

static void take_off(Unwrapping *u) {
    Weights *w = u->w;
    const Candidate *c = u->chosen;
    for (int i = 0; w->status == OK && i < w->file.count; i++) {
        const char *label;
        size_t length;
        const char *name = own_name(u, w->name[i], &label, &length);
        if (!name)
            w->status =
                fail(w->err, ERR_FORMAT,
                     "weights: %s: tensor %s is outside of '%.*s', where %s is, and is no "
                     "known head: save the network's tensors alone",
                     w->path, w->file.tensor[i].name, (int)c->length, c->name, c->layout->anchor);
        else if (!*name) pass_over(u, i, label, length);
        else
            weights_rename(
                w, i, strcmp(name, "visual_projection.weight") == 0 ? "" : c->layout->front, name);
    }
    w->front = format_text("%.*s", (int)c->length, c->name);
    if (!w->front) no_memory(w);
}

/* open_clip names its text encoder "text." in some files. Encoders of other kinds are no part of the
 * features of images. */
static void settle_text(Unwrapping *u) {
    Weights *w = u->w;
    const char *text = u->chosen->layout->text, *front = u->chosen->layout->other;
    if (!text || has(w, text)) return; /* one that is never read was passed over */
    const size_t length = strlen(front);
    const bool clip = has_behind(w, front, length, text);
    bool any = false;
    for (int i = 0; w->status == OK && i < w->file.count; i++) {
        if (!w->name[i] || !begins_with(w->name[i], front)) continue;
        any = true;
        if (clip) weights_rename(w, i, "", w->name[i] + length);
        else pass_over(u, i, front, length - 1);
    }
    if (clip)
        weights_say(w, "weights: %s: prefix '%s' of the text encoder is taken off", w->path, front);
    else if (any)
        weights_say(
            w, "weights: %s: its text encoder is not CLIP's: images are encoded, texts are not",
            w->path);
}

/* transformers 5 keeps the blocks of DINOv3 in a module `model`, of which its files say nothing and
 * saved dictionaries do. */
static void drop_model(Weights *w) {
    static const char front[] = "model.layer.";
    for (int i = 0; w->status == OK && i < w->file.count; i++)
        if (w->name[i] && begins_with(w->name[i], front))
            weights_rename(w, i, "", w->name[i] + strlen("model."));
}

/* --- all of it -------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Without their wrappers two tensors may have one name; none is better than the other. */
static void check_twice(Weights *w) {
    const char **names = malloc(((size_t)w->file.count + 1) * sizeof *names);
    int count = 0;
    if (!names) {
        no_memory(w);
        return;
    }
    for (int i = 0; i < w->file.count; i++)
        if (w->name[i]) names[count++] = w->name[i];
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 1; w->status == OK && i < count; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            w->status =
                fail(w->err, ERR_FORMAT,
                     "weights: %s: two tensors are %s once wrappers are taken off: expected "
                     "one",
                     w->path, names[i]);
    free(names);
}

static void say_what(const Unwrapping *u) {
    Weights *w = u->w;
    const Candidate *c = u->chosen;
    char list[MAX_LIST] = "";
    size_t folder = c->length;
    while (folder > 0 && c->name[folder - 1] != '/') folder--;
    const int prefix = (int)(c->length - folder);
    if (folder)
        weights_say(w, "weights: %s: tensors are those of '%.*s'%s%.*s%s", w->path, (int)folder - 1,
                    c->name, prefix ? ", prefix '" : "", prefix, c->name + folder,
                    prefix ? "' taken off" : "");
    else if (prefix)
        weights_say(w, "weights: %s: prefix '%.*s' is taken off", w->path, prefix, c->name);
    if (u->inner)
        weights_say(w, "weights: %s: wrappers inside of %d names are taken off", w->path, u->inner);
    if (*c->layout->front)
        weights_say(w, "weights: %s: names are those of a vision model alone, without '%s'",
                    w->path, c->layout->front);
    for (int i = 0; i < u->candidates; i++)
        if (&u->candidate[i] != c)
            weights_say(w, "weights: %s: of two networks the one with %s is read, not %s", w->path,
                        c->name, u->candidate[i].name);
    for (int i = 0, used = 0; i < u->groups && used < MAX_LIST; i++)
        used += snprintf(list + used, MAX_LIST - (size_t)used, "%s%d of %s", i ? ", " : "",
                         u->group[i].count, u->group[i].label);
    if (u->groups) weights_say(w, "weights: %s: tensors passed over: %s", w->path, list);
}

/* One shard has no network; info says so too, for which a failure here is no failure. */
static Status refuse_shard(Weights *w) {
    int number, count;
    if (!shard_of(w->path, &number, &count) || count < 2) return OK;
    char *index = shard_index(w->path);
    weights_say(w, "weights: %s: one shard alone, %d of %d", w->path, number, count);
    w->status = fail(w->err, ERR_FORMAT,
                     "weights: %s: shard %d of %d of a model: give the index of all shards, %s%s",
                     w->path, number, count, index ? index : "...index.json",
                     index && !file_exists(index) ? ", which is not there: fetch it" : "");
    free(index);
    return w->status;
}

Status weights_unwrap(Weights *w) {
    if (w->status != OK || w->front || refuse_shard(w) != OK) return w->status;
    Unwrapping u = {.w = w};
    for (int i = 0; i < w->file.count; i++) u.inner += drop_inner_wrappers(w->name[i]) > 0;
    if (find_candidates(&u) == OK && u.chosen) {
        take_off(&u);
        if (w->status == OK) settle_text(&u);
        if (w->status == OK && strcmp(u.chosen->layout->anchor, "cls_token") == 0)
            weights_join_chunks(w);
        if (w->status == OK && strcmp(u.chosen->layout->anchor, "embeddings.cls_token") == 0)
            drop_model(w);
        if (w->status == OK) say_what(&u);
        if (w->status == OK) check_twice(w);
    }
    for (int i = 0; i < u.candidates; i++) free(u.candidate[i].name);
    return w->status;
}
