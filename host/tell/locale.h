/* locale.h - calls read and write numbers as the C locale does, whichever locale their program has set. */
#ifndef TURTLE_HOST_TELL_LOCALE_H
#define TURTLE_HOST_TELL_LOCALE_H

#include <locale.h>

/* Gives the calling thread the C locale. Returns the one that it had. */
locale_t locale_plain(void);
/* Gives the thread the locale back that locale_plain returned. */
void locale_restore(locale_t *before);
/* Gives the thread the locale of the program around the call, for a hook. Returns the one to set again. */
locale_t locale_outside(void);

/* Stands first in every public function and in every thread that formats numbers: C until the function returns. */
#define PLAIN_LOCALE \
    __attribute__((cleanup(locale_restore), unused)) locale_t callers_locale = locale_plain()

#endif
