/* split_words.c - the words that name a split, in folders and in lists. */
#include "io/text/split_words.h"

#include <stddef.h>
#include <string.h>

// clang-format off
static const struct {
    const char *word;
    SplitWord split;
    bool taken; /* a folder or a line with exactly this word is taken */
} words[] = {
    {"train", SPLIT_TRAIN, true},         {"val", SPLIT_VAL, true},
    {"valid", SPLIT_VAL, true},           {"validation", SPLIT_VAL, true},
    {"dev", SPLIT_VAL, true},             {"test", SPLIT_TEST, true},
    {"training", SPLIT_TRAIN, false},     {"trainset", SPLIT_TRAIN, false},
    {"train_set", SPLIT_TRAIN, false},    {"training_set", SPLIT_TRAIN, false},
    {"train_images", SPLIT_TRAIN, false}, {"train_data", SPLIT_TRAIN, false},
    {"training_data", SPLIT_TRAIN, false},
    {"validate", SPLIT_VAL, false},       {"valset", SPLIT_VAL, false},
    {"val_set", SPLIT_VAL, false},        {"validation_set", SPLIT_VAL, false},
    {"val_images", SPLIT_VAL, false},     {"validation_images", SPLIT_VAL, false},
    {"val_data", SPLIT_VAL, false},       {"validation_data", SPLIT_VAL, false},
    {"eval", SPLIT_VAL, false},           {"evaluation", SPLIT_VAL, false},
    {"testing", SPLIT_TEST, false},       {"testset", SPLIT_TEST, false},
    {"test_set", SPLIT_TEST, false},      {"test_images", SPLIT_TEST, false},
    {"test_data", SPLIT_TEST, false},
};
// clang-format on

static char plain(char c) {
    if (c == '-' || c == ' ') return '_';
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool same(const char *word, const char *known) {
    while (*word && plain(*word) == *known) word++, known++;
    return !*word && !*known;
}

SplitWord split_word(const char *word, bool *exact) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (same(word, words[i].word)) {
            *exact = words[i].taken && strcmp(word, words[i].word) == 0;
            return words[i].split;
        }
    *exact = false;
    return SPLIT_NONE;
}

const char *split_word_kept(const char *word) {
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (words[i].taken && strcmp(word, words[i].word) == 0) return words[i].word;
    return NULL;
}
