/* manifest.c - the reader of manifests. */
#include "host/prepare/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "host/tell/words.h"
#include "io/files/embedded.h"

/* --- lines ------------------------------------------------------------------------------------ */

/* Cuts the next line off *at. Returns NULL at the end. Blanks in front of it are taken off. */
static char *next_line(char **at) {
    char *line = *at;
    if (!line || !*line) return NULL;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end) *end = '\0';
    return line + strspn(line, " ");
}

/* Cuts a word off *at: `line` becomes "word", *at the rest. */
static char *cut_word(char **at) {
    char *word = *at;
    const size_t n = strcspn(word, " ");
    *at = word + n + strspn(word + n, " ");
    word[n] = '\0';
    return word;
}

static const char *known(const char *text) {
    return *text == '\0' || strcmp(text, "-") == 0 ? NULL : text;
}

/* Returns a whole number, or -1 for `-` and for what is none. */
static int64_t number(const char *text) {
    char *end;
    const long long n = strtoll(text, &end, 10);
    return end == text || *end || n < 0 ? -1 : n;
}

/* --- manifests -------------------------------------------------------------------------------- */

static bool set_layout(ManifestArchive *a, const char *key, const char *value) {
    static const struct {
        const char *key;
        ManifestLayout layout;
    } layouts[] = {{"plain", LAYOUT_PLAIN},
                   {"lone", LAYOUT_LONE},
                   {"by_class", LAYOUT_CLASSES},
                   {"folders_of_archives", LAYOUT_FOLDERS}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (strcmp(key, layouts[i].key) == 0) {
            a->layout = layouts[i].layout;
            if (*value) a->into = value;
            return true;
        }
    return false;
}

/* Reads a line of an archive. Returns false if it is none. */
static bool archive_line(ManifestArchive *a, const char *key, char *value) {
    if (strcmp(key, "size") == 0) a->size = number(value);
    else if (strcmp(key, "md5") == 0) a->md5 = known(value);
    else if (strcmp(key, "sha256") == 0) a->sha256 = known(value);
    else if (strcmp(key, "way") == 0) a->way = value;
    else if (strcmp(key, "into") == 0) a->into = value;
    else if (strcmp(key, "folder") == 0) a->folder = value;
    else if (strcmp(key, "nested") == 0) a->nested = value;
    else if (strcmp(key, "url") == 0 && a->urls < MANIFEST_URLS) a->url[a->urls++] = value;
    else if (strcmp(key, "begin") == 0)
        while (*value && a->begins < MANIFEST_BEGINS) a->begin[a->begins++] = cut_word(&value);
    else return set_layout(a, key, value);
    return true;
}

/* Reads a line. Returns false if it is not understood. */
static bool manifest_line(Manifest *m, const char *key, char *value) {
    if (strcmp(key, "title") == 0) m->title = value;
    else if (strcmp(key, "home") == 0) m->home = value;
    else if (strcmp(key, "licence") == 0) m->licence = known(value);
    else if (strcmp(key, "how") == 0) m->how = value;
    else if (strcmp(key, "unpacked") == 0) m->unpacked = number(value);
    else if (strcmp(key, "counts") == 0) {
        m->train = number(cut_word(&value));
        m->val = number(cut_word(&value));
        m->classes = number(cut_word(&value));
    } else if (strcmp(key, "step") == 0 && m->steps < MANIFEST_STEPS) m->step[m->steps++] = value;
    else if (strcmp(key, "archive") == 0 && m->archives < MANIFEST_ARCHIVES)
        m->archive[m->archives++] = (ManifestArchive){.name = value, .size = -1, .into = "."};
    else return m->archives > 0 && archive_line(&m->archive[m->archives - 1], key, value);
    return true;
}

/* Reads manifest `index`, or that of `set` if it is not NULL. */
static Status read_manifest(Manifest *out, const char *set, int index, bool *found, Error *err) {
    *out = (Manifest){.train = -1, .val = -1, .classes = -1, .unpacked = -1};
    *found = false;
    out->text = strndup((const char *)embedded_manifests.data, (size_t)embedded_manifests.bytes);
    if (!out->text) return fail(err, ERR_MEMORY, "prepare: out of memory");
    char *at = out->text;
    int seen = -1;
    for (char *line; (line = next_line(&at)) != NULL;) {
        if (!*line || *line == '#') continue;
        char *value = line;
        const char *key = cut_word(&value);
        if (strcmp(key, "set") == 0) {
            if (*found) break;
            seen++;
            *found = set ? strcmp(value, set) == 0 : seen == index;
            if (*found) out->set = out->store = value;
        } else if (*found && !manifest_line(out, key, value)) {
            const Status st =
                fail(err, ERR_FORMAT, "prepare: manifest of %s: '%s %s' is not a line of one",
                     out->set, key, value);
            manifest_free(out);
            return st;
        }
    }
    if (*found) return OK;
    manifest_free(out);
    return OK;
}

Status manifest_at(Manifest *out, int index, bool *more, Error *err) {
    return read_manifest(out, NULL, index, more, err);
}

static Status unknown_set(const char *set, Error *err) {
    enum { MOST = 64 };
    const char *names[MOST] = {"cifar10020"};
    int n = 1;
    char *text = strndup((const char *)embedded_manifests.data, (size_t)embedded_manifests.bytes);
    char *at = text;
    for (char *line; n < MOST && (line = next_line(&at)) != NULL;)
        if (strncmp(line, "set ", 4) == 0) names[n++] = line + 4;
    const char *near = nearest_word(set, names, n);
    error_write(err, "prepare: '%s' is not among the data sets%s%s%s", set,
                near ? ": did you mean " : "", near ? near : "",
                near ? "?" : "; turtle prepare --list shows them");
    free(text);
    return ERR_USAGE;
}

Status manifest_find(Manifest *out, const char *set, Error *err) {
    bool found = false;
    const bool coarse = strcmp(set, "cifar10020") == 0;
    const Status st = read_manifest(out, coarse ? "cifar100" : set, 0, &found, err);
    if (st == OK && coarse && found) {
        out->set = "cifar10020";
        out->classes = 20;
    }
    return st != OK || found ? st : unknown_set(set, err);
}

void manifest_free(Manifest *m) {
    if (!m) return;
    free(m->text);
    *m = (Manifest){0};
}
