/* tokenizer.c - CLIP's byte-pair encoding.
 *
 * Symbols are numbers. 0..255 are the bytes in the vocabulary's order, 256..511 are bytes at the
 * end of a word; then comes one per merge, then start and end. Encoding needs only a table from
 * pairs of symbols to the merged one: the smaller the merged symbol, the earlier the pair was
 * learned.
 */
#include "io/text/tokenizer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/embedded.h"
#include "io/files/gzip.h"
#include "io/text/html.h"
#include "io/text/unicode.h"
#include "io/text/utf8.h"

enum {
    BYTES = 256,
    MERGES = 48894,
    SYMBOLS = 2 * BYTES + MERGES,
    SLOTS = 1 << 17, /* slots of either hash table, over twice the entries */
    VOCABULARY_BYTES = 1 << 23
};
_Static_assert((int)SYMBOLS == (int)TOKEN_START, "start and end follow the merges");

typedef struct {
    uint64_t pair;  /* first << 32 | second */
    int32_t merged; /* 0: an empty slot */
} Merge;

struct Tokenizer {
    Merge merge[SLOTS];
    int32_t symbol_of_byte[BYTES];
    Unicode unicode;
};

/* --- the table of merges ---------------------------------------------------------------------- */

static uint64_t hash64(uint64_t x) { /* the finaliser of splitmix64 (Steele et al. 2014) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t pair_of(int32_t first, int32_t second) {
    return (uint64_t)first << 32 | (uint32_t)second;
}

/* Returns the slot that holds this pair, or the empty one where it belongs. */
static int64_t slot_of(const Tokenizer *t, uint64_t pair) {
    int64_t slot = (int64_t)(hash64(pair) % SLOTS);
    while (t->merge[slot].merged && t->merge[slot].pair != pair) slot = (slot + 1) % SLOTS;
    return slot;
}

/* Returns the symbol that two neighbours merge into, or INT32_MAX. */
static int32_t merged_of(const Tokenizer *t, int32_t first, int32_t second) {
    const int32_t merged = t->merge[slot_of(t, pair_of(first, second))].merged;
    return merged ? merged : INT32_MAX;
}

/* --- the vocabulary --------------------------------------------------------------------------- */

/* Names of symbols while merges are read; texts point into the vocabulary. */
typedef struct {
    const char *text;
    int64_t length;
    int32_t symbol; /* -1: an empty slot */
} Name;

static Name *name_slot(Name *names, const char *text, int64_t length) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (int64_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    uint64_t slot = hash64(hash) % SLOTS;
    while (names[slot].symbol >= 0 &&
           (names[slot].length != length || memcmp(names[slot].text, text, (size_t)length) != 0))
        slot = (slot + 1) % SLOTS;
    return &names[slot];
}

static bool name_add(Name *names, const char *text, int64_t length, int32_t symbol) {
    Name *n = name_slot(names, text, length);
    if (n->symbol >= 0) return false; /* a name stands for one symbol */
    *n = (Name){text, length, symbol};
    return true;
}

/* Finds the symbol of each byte, and the character that the vocabulary writes for it. The character
 * is the byte itself if it is printable, else one from U+0100 on. */
static void byte_characters(uint32_t character[BYTES], int32_t symbol[BYTES]) {
    int32_t next = 0;
    uint32_t replacement = BYTES;
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < BYTES; b++) {
            const bool printable =
                (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
            if (printable != (pass == 0)) continue;
            character[b] = printable ? (uint32_t)b : replacement++;
            symbol[b] = next++;
        }
}

/* Texts of the 512 symbols of bytes: "x" and "x</w>". */
enum { BYTE_NAME = 8 };

static bool add_byte_names(Name *names, char texts[2 * BYTES][BYTE_NAME], const Tokenizer *t,
                           const uint32_t character[BYTES]) {
    static const char *const ends[] = {"", "</w>"};
    bool good = true;
    for (int end = 0; end < 2; end++)
        for (int b = 0; b < BYTES; b++) {
            char *text = texts[end * BYTES + b];
            const int n = utf8_encode(text, character[b]), m = (int)strlen(ends[end]);
            memcpy(text + n, ends[end], (size_t)m);
            good = name_add(names, text, n + m, end * BYTES + t->symbol_of_byte[b]) && good;
        }
    return good;
}

/* Reads lines 1 .. MERGES, "first second": each merges two symbols into one more. */
static bool add_merges(Tokenizer *t, Name *names, char *joined, const char *text) {
    const char *line = strchr(text, '\n');
    for (int32_t i = 0; i < MERGES; i++) {
        const char *first = line ? line + 1 : NULL;
        line = first ? strchr(first, '\n') : NULL;
        const char *space = line ? memchr(first, ' ', (size_t)(line - first)) : NULL;
        if (!space) return false;
        const int64_t n = space - first, m = line - space - 1;
        const Name *a = name_slot(names, first, n), *b = name_slot(names, space + 1, m);
        if (a->symbol < 0 || b->symbol < 0) return false;
        const uint64_t pair = pair_of(a->symbol, b->symbol);
        const int32_t symbol = 2 * BYTES + i;
        memcpy(joined, first, (size_t)n);
        memcpy(joined + n, space + 1, (size_t)m);
        if (!name_add(names, joined, n + m, symbol)) return false;
        joined += n + m;
        t->merge[slot_of(t, pair)] = (Merge){pair, symbol};
    }
    return true;
}

static Status read_vocabulary(Tokenizer *t, Error *err) {
    uint32_t character[BYTES];
    char byte_names[2 * BYTES][BYTE_NAME];
    uint8_t *text = NULL;
    int64_t bytes = 0;
    byte_characters(character, t->symbol_of_byte);
    Status st = gzip_inflate(&text, &bytes, embedded_vocab.data, embedded_vocab.bytes,
                             VOCABULARY_BYTES, "vocabulary", err);
    Name *names = calloc(SLOTS, sizeof *names);
    char *joined = malloc((size_t)bytes + 1);
    if (st == OK && !(names && joined)) st = fail(err, ERR_MEMORY, "tokenizer: out of memory");
    for (int64_t i = 0; st == OK && i < SLOTS; i++) names[i].symbol = -1;
    if (st == OK && !(add_byte_names(names, byte_names, t, character) &&
                      add_merges(t, names, joined, (const char *)text)))
        st = fail(err, ERR_FORMAT, "tokenizer: the vocabulary is not the one it should be");
    free(text);
    free(names);
    free(joined);
    return st;
}

Status tokenizer_open(Tokenizer **out, Error *err) {
    Tokenizer *t = *out = calloc(1, sizeof *t);
    if (!t) return fail(err, ERR_MEMORY, "tokenizer: out of memory");
    Status st = read_vocabulary(t, err);
    if (st == OK) st = unicode_open(&t->unicode, err);
    if (st != OK) {
        tokenizer_close(t);
        *out = NULL;
    }
    return st;
}

void tokenizer_close(Tokenizer *t) {
    if (!t) return;
    unicode_close(&t->unicode);
    free(t);
}

/* --- cleaning --------------------------------------------------------------------------------- */

/* Collapses white space to single blanks, with none at the ends, in place. Returns the new
 * length. */
static int64_t collapse_space(const Unicode *u, uint32_t *text, int64_t n) {
    int64_t count = 0;
    bool pending = false;
    for (int64_t i = 0; i < n; i++) {
        if (unicode_is(u, UNICODE_SPACE, text[i])) {
            pending = count > 0;
        } else {
            if (pending) text[count++] = ' ';
            pending = false;
            text[count++] = text[i];
        }
    }
    return count;
}

/* Cleans a text and decodes it into code points, in fresh memory. */
static Status clean(const Tokenizer *t, const char *utf8, uint32_t **out, int64_t *n, Error *err) {
    uint32_t *stage[4] = {NULL};
    Status st = utf8_decode(&stage[0], n, utf8, err);
    if (st == OK && (stage[1] = html_unescape(stage[0], *n, n)) &&
        (stage[2] = html_unescape(stage[1], *n, n))) {
        *n = collapse_space(&t->unicode, stage[2], *n);
        stage[3] = unicode_lower(&t->unicode, stage[2], *n, n);
    }
    if (st == OK && !stage[3]) st = fail(err, ERR_MEMORY, "tokenizer: out of memory");
    for (int i = 0; i < 3; i++) free(stage[i]);
    *out = stage[3];
    return st;
}

/* --- words ------------------------------------------------------------------------------------ */

static bool matches(const uint32_t *text, int64_t n, const char *word) {
    for (int64_t i = 0; word[i]; i++) {
        if (i == n) return false;
        const bool long_s = word[i] == 's' && text[i] == 0x17f; /* case-insensitive */
        if (text[i] != (uint32_t)word[i] && !long_s) return false;
    }
    return true;
}

static bool is_other(const Unicode *u, uint32_t c) {
    return !unicode_is(u, UNICODE_SPACE, c) && !unicode_is(u, UNICODE_LETTER, c) &&
           !unicode_is(u, UNICODE_NUMBER, c);
}

/* Returns how many characters the word at `text` (n > 0) has: a marker, a contraction's end,
 * letters, one digit, or a run of other signs. White space counts as a word of its own, which the
 * caller passes over. */
static int64_t word_length(const Unicode *u, const uint32_t *text, int64_t n) {
    static const char *const fixed[] = {
        "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (matches(text, n, fixed[i])) return (int64_t)strlen(fixed[i]);
    int64_t length = 1;
    if (unicode_is(u, UNICODE_LETTER, text[0]))
        while (length < n && unicode_is(u, UNICODE_LETTER, text[length])) length++;
    else if (is_other(u, text[0]))
        while (length < n && is_other(u, text[length])) length++;
    return length;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* A word being merged: symbols in a chain, and a heap of the pairs of neighbours that could merge.
 * Earlier merges come first, then pairs further left. */
typedef struct {
    int32_t merged;
    int32_t at; /* left symbol; the pair is stale if it merges into something else by now */
} Candidate;

typedef struct {
    int32_t *symbol, *next, *before; /* -1 ends the chain; symbol -1: merged away */
    Candidate *heap;
    int64_t heap_count;
    int64_t capacity; /* in symbols */
} Word;

static bool earlier(Candidate a, Candidate b) {
    return a.merged != b.merged ? a.merged < b.merged : a.at < b.at;
}

static void heap_push(Word *w, Candidate c) {
    int64_t i = w->heap_count++;
    for (; i > 0 && earlier(c, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static Candidate heap_pop(Word *w) {
    const Candidate top = w->heap[0], last = w->heap[--w->heap_count];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && earlier(w->heap[child + 1], w->heap[child])) child++;
        if (!earlier(w->heap[child], last)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

static int32_t merged_at(const Tokenizer *t, const Word *w, int32_t at) {
    if (at < 0 || w->symbol[at] < 0 || w->next[at] < 0) return INT32_MAX;
    return merged_of(t, w->symbol[at], w->symbol[w->next[at]]);
}

static void push_pair(const Tokenizer *t, Word *w, int32_t at) {
    const int32_t merged = merged_at(t, w, at);
    if (merged != INT32_MAX) heap_push(w, (Candidate){merged, at});
}

/* Merges the n symbols of a word. A merge makes two new pairs at most, so that the heap never holds
 * more than 3n. */
static void merge_word(const Tokenizer *t, Word *w, int32_t n) {
    w->heap_count = 0;
    for (int32_t i = 0; i < n; i++) {
        w->next[i] = i + 1 < n ? i + 1 : -1;
        w->before[i] = i - 1;
    }
    for (int32_t i = 0; i + 1 < n; i++) push_pair(t, w, i);
    while (w->heap_count) {
        const Candidate c = heap_pop(w);
        if (merged_at(t, w, c.at) != c.merged) continue;
        const int32_t right = w->next[c.at];
        w->symbol[c.at] = c.merged;
        w->symbol[right] = -1;
        w->next[c.at] = w->next[right];
        if (w->next[right] >= 0) w->before[w->next[right]] = c.at;
        push_pair(t, w, w->before[c.at]);
        push_pair(t, w, c.at);
    }
}

static bool word_reserve(Word *w, int64_t symbols) {
    if (w->capacity >= symbols) return true;
    const int64_t capacity = 2 * symbols;
    free(w->symbol);
    free(w->heap);
    w->symbol = malloc((size_t)(3 * capacity) * sizeof *w->symbol);
    w->heap = malloc((size_t)(3 * capacity) * sizeof *w->heap);
    w->next = w->symbol ? w->symbol + capacity : NULL;
    w->before = w->symbol ? w->symbol + 2 * capacity : NULL;
    w->capacity = w->symbol && w->heap ? capacity : 0;
    return w->capacity > 0;
}

/* Writes the bytes of `length` characters as symbols, the last one at the word's end. Returns how
 * many. */
static int32_t word_symbols(const Tokenizer *t, Word *w, const uint32_t *text, int64_t length) {
    int32_t n = 0;
    for (int64_t i = 0; i < length; i++) {
        char bytes[4];
        const int count = utf8_encode(bytes, text[i]);
        for (int b = 0; b < count; b++) {
            const bool last = i == length - 1 && b == count - 1;
            w->symbol[n++] = t->symbol_of_byte[(uint8_t)bytes[b]] + (last ? BYTES : 0);
        }
    }
    return n;
}

/* --- encoding --------------------------------------------------------------------------------- */

typedef struct {
    int32_t *ids;
    int64_t context, count; /* count may pass the context; ids beyond are not kept */
} Ids;

static void put_id(Ids *out, int32_t id) {
    if (out->count < out->context) out->ids[out->count] = id;
    out->count++;
}

static Status encode_words(const Tokenizer *t, Ids *out, const uint32_t *text, int64_t n,
                           Error *err) {
    Word w = {0};
    Status st = OK;
    for (int64_t i = 0, length; st == OK && i < n; i += length) {
        const uint32_t *word = text + i;
        length = word_length(&t->unicode, word, n - i);
        if (unicode_is(&t->unicode, UNICODE_SPACE, word[0])) continue;
        if (matches(word, length, "<|startoftext|>")) {
            put_id(out, TOKEN_START);
        } else if (matches(word, length, "<|endoftext|>")) {
            put_id(out, TOKEN_END);
        } else if (length > INT32_MAX / 16 || !word_reserve(&w, 4 * length)) {
            st = fail(err, ERR_MEMORY, "tokenizer: a word of %lld characters: out of memory",
                      (long long)length);
        } else {
            const int32_t symbols = word_symbols(t, &w, word, length);
            merge_word(t, &w, symbols);
            for (int32_t s = symbols ? 0 : -1; s >= 0; s = w.next[s]) put_id(out, w.symbol[s]);
        }
    }
    free(w.symbol);
    free(w.heap);
    return st;
}

Status tokenizer_encode(const Tokenizer *t, const char *text, bool truncate, int32_t *ids,
                        int64_t context, int64_t *count, Error *err) {
    uint32_t *cleaned = NULL;
    int64_t n = 0;
    Ids out = {ids, context, 0};
    if (context < 2) return fail(err, ERR_ARG, "tokenizer: a context of %lld", (long long)context);
    Status st = clean(t, text, &cleaned, &n, err);
    if (st == OK) {
        put_id(&out, TOKEN_START);
        st = encode_words(t, &out, cleaned, n, err);
        put_id(&out, TOKEN_END);
    }
    free(cleaned);
    if (st == OK && out.count > context && !truncate)
        st = fail(err, ERR_ARG,
                  "tokenizer: '%.60s%s' has %lld tokens, at most %lld fit: shorten it, or have it "
                  "cut",
                  text, strlen(text) > 60 ? "..." : "", (long long)out.count, (long long)context);
    if (st != OK) return st;
    if (out.count > context) {
        ids[context - 1] = TOKEN_END;
        out.count = context;
    }
    for (int64_t i = out.count; i < context; i++) ids[i] = 0;
    *count = out.count;
    return OK;
}
