/* recorded_path.h - where a path of run.json lies. */
#ifndef TURTLE_HOST_INPUTS_RECORDED_PATH_H
#define TURTLE_HOST_INPUTS_RECORDED_PATH_H

/* Returns a recorded path in fresh memory for free(): a relative one lies below the directory of the call, if it is
 * there, else below ours, for a project may have moved as a whole. `directory` may be NULL. NULL: out of memory. */
char *recorded_path(const char *directory, const char *path);

#endif
