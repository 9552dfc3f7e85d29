/* split_words.h - the words that name a split, in folders and in lists. */
#ifndef TURTLE_IO_TEXT_SPLIT_WORDS_H
#define TURTLE_IO_TEXT_SPLIT_WORDS_H

#include <stdbool.h>

typedef enum { SPLIT_NONE, SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST } SplitWord;

/* Returns the split that a word means. *exact is true for the words that are taken: train; val,
 * valid, validation, dev; test. It is false for words that surely mean a split but are not taken
 * (Train, training, eval, Testing, test_images, ...). */
SplitWord split_word(const char *word, bool *exact);
/* Returns a text that equals `word`, a word that is taken, and lives as long as the program.
 * Returns NULL for NULL and for any other word. */
const char *split_word_kept(const char *word);

#endif
