/* digest.h - published weights are what their source says they are. */
#ifndef TURTLE_HOST_TELL_DIGEST_H
#define TURTLE_HOST_TELL_DIGEST_H

#include "host/turtle.h"

/* Compares the file's SHA-256 with `expected`, once: the file's size and time of change are kept in
 * <path>.sha256 beside it, and while they are the same nothing is read again. Says through the notice
 * hook what the first reading found; a file that differs is still used. Where nothing can be written
 * beside the file, the next call reads it again. */
void digest_check(const char *path, const char *expected, const TurtleHooks *hooks);

#endif
