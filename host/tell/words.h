/* words.h - the word that a misspelt one was to be. */
#ifndef TURTLE_HOST_TELL_WORDS_H
#define TURTLE_HOST_TELL_WORDS_H

/* Returns the character, with '_' for '-': both mean the same in names of flags. */
char word_plain(char c);
/* Returns the candidate nearest to a misspelt word (edit distance, '_' = '-'), or NULL if none is
 * near. */
const char *nearest_word(const char *word, const char *const *candidates, int count);

#endif
