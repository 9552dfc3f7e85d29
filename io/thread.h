/* thread.h - a thread whose stack holds what ours needs, whatever the C library gives: musl's default is 128 KiB. */
#ifndef TURTLE_IO_THREAD_H
#define TURTLE_IO_THREAD_H

#include <pthread.h>

enum { THREAD_STACK = 8 << 20 /* glibc's; only what is touched takes memory */ };

/* Starts a thread as pthread_create does. Returns 0, or its error. */
static inline int start_thread(pthread_t *out, void *(*run)(void *), void *context) {
    pthread_attr_t stack;
    int error = pthread_attr_init(&stack);
    if (error) return error;
    error = pthread_attr_setstacksize(&stack, THREAD_STACK);
    if (!error) error = pthread_create(out, &stack, run, context);
    pthread_attr_destroy(&stack);
    return error;
}

#endif
