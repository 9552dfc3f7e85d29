/* objects.h - the values of a pickle, and the objects that its calls make. */
#ifndef TURTLE_IO_PICKLE_OBJECTS_H
#define TURTLE_IO_PICKLE_OBJECTS_H

#include "io/pickle/pickle.h"

/* The memory that values come from, and the first failure: once `status` is not OK, it stays. */
typedef struct {
    PickleArena *arena;
    const char *path; /* for messages */
    Error *err;
    Status status;
    int64_t
        may_decode; /* bytes of text that calls may still copy; else a short pickle fills memory */
} Builder;

/* Both note a failure, unless there was one already, and return NULL. */
void *builder_broken(Builder *b, const char *what);
void *builder_no_memory(Builder *b);

/* Every function below that returns a value returns NULL if it noted a failure. */

/* Makes a value with all other fields zeroed. */
Value *value_new(Builder *b, ValueKind kind);
/* Makes a list or a dictionary of n items. */
Value *value_of_items(Builder *b, ValueKind kind, Value *const *items, int64_t n);
/* Adds an item to a list, a dictionary or an object. */
void value_append(Builder *b, Value *to, Value *item);

/* Returns the global `module`.`name`; a name that is not known is refused. */
Value *object_global(Builder *b, const char *module, int64_t module_bytes, const char *name,
                     int64_t name_bytes);
/* Returns the object that a call makes. */
Value *object_call(Builder *b, const Value *callee, const Value *arguments);
/* Gives an object its state: attributes of TorchScript objects, and what numpy's arrays and types
 * are. The state of any other object, such as a dictionary's metadata, is dropped. */
void object_build(Builder *b, Value *object, const Value *state);
/* Returns the storage of a persistent id ('storage', type, key, location, count[, view]). */
Value *object_storage(Builder *b, const Value *id);

#endif
