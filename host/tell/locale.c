/* locale.c - the C locale, thread by thread: the program's own stays as it is. */
#include "host/tell/locale.h"

/* Locale of the program around the outermost call of this thread; none: the thread is in no call, or its program has
 * set the C locale itself. */
static _Thread_local locale_t outside;

locale_t locale_plain(void) {
    /* a static object in glibc and musl: nothing is allocated */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(plain);
    if (before != plain) outside = before;
    return before;
}

void locale_restore(locale_t *before) {
    uselocale(*before);
    if (*before == outside) outside = (locale_t)0;
}

locale_t locale_outside(void) {
    return uselocale(outside);
}
