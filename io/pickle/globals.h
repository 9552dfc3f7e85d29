/* globals.h - the names that a pickle may use, and what becomes of a call of each. */
#ifndef TURTLE_IO_PICKLE_GLOBALS_H
#define TURTLE_IO_PICKLE_GLOBALS_H

#include <stdbool.h>

#include "io/dtype.h"

/* Effects of a call. */
typedef enum {
    CALL_DICT,    /* a dictionary, of () or of a list of pairs */
    CALL_TENSOR,  /* a tensor, of (storage, offset, size, stride, ...) */
    CALL_FIRST,   /* the first argument: a parameter's data, a Size's tuple, a list */
    CALL_TYPED,   /* a tensor of a subclass, of (function, type, arguments, state) */
    CALL_IGNORED, /* an object that no tensor needs: a device, the arguments of a training */
    CALL_STORAGE, /* none: the global is the type of a storage */
    CALL_OBJECT,  /* an instance of a TorchScript class */
    CALL_ARRAY,   /* numpy's empty array, whose state follows */
    CALL_DTYPE,   /* a type of numpy, of ("f4", ...); its byte order follows as its state */
    CALL_BYTES,   /* bytes as Python 3 writes them for Python 2, of () or of (text, "latin1") */
    CALL_BUFFER,  /* numpy's array whole, of (bytes, type, shape, "C"), in protocol 5 */
} Call;

typedef struct Global {
    const char *name; /* "module name" */
    Call call;
    DType type; /* for CALL_STORAGE: type of its elements */
} Global;

/* Returns the global of that "module name", or NULL if it is refused. */
const Global *global_find(const char *name);

/* Returns true if the name is that of a class as Python's style guide has them: "module Name".
 * Programs that a pickle would start are no classes a model is made of. */
bool global_is_class(const char *name);

#endif
