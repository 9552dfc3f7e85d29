/* objects.c - the values of a pickle, and the objects that its calls make. */
#include "io/pickle/objects.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io/pickle/globals.h"

/* --- values ----------------------------------------------------------------------------------- */

struct PickleBlock {
    PickleBlock *next;
    size_t used, bytes;
    max_align_t memory[];
};

static void *arena_take(PickleArena *arena, size_t bytes) {
    const size_t rounded =
        (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    PickleBlock *b = arena->blocks;
    if (!b || b->bytes - b->used < rounded) {
        const size_t block = rounded > 1 << 16 ? rounded : 1 << 16;
        b = malloc(sizeof *b + block);
        if (!b) return NULL;
        *b = (PickleBlock){.next = arena->blocks, .bytes = block};
        arena->blocks = b;
    }
    void *piece = (char *)b->memory + b->used;
    b->used += rounded;
    return memset(piece, 0, bytes);
}

void pickle_free(PickleArena *arena) {
    while (arena && arena->blocks) {
        PickleBlock *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

void *builder_broken(Builder *b, const char *what) {
    if (b->status == OK)
        b->status = fail(b->err, ERR_FORMAT, "pickle: %s: damaged or truncated: %s", b->path, what);
    return NULL;
}

void *builder_no_memory(Builder *b) {
    if (b->status == OK) b->status = fail(b->err, ERR_MEMORY, "pickle: %s: out of memory", b->path);
    return NULL;
}

Value *value_new(Builder *b, ValueKind kind) {
    Value *v = arena_take(b->arena, sizeof *v);
    if (!v) return builder_no_memory(b);
    v->kind = kind;
    return v;
}

Value *value_of_items(Builder *b, ValueKind kind, Value *const *items, int64_t n) {
    Value *v = value_new(b, kind);
    if (!v || !n) return v;
    v->as.items.at = arena_take(b->arena, (size_t)n * sizeof *items);
    if (!v->as.items.at) return builder_no_memory(b);
    memcpy(v->as.items.at, items, (size_t)n * sizeof *items);
    v->as.items.count = v->as.items.capacity = n;
    return v;
}

void value_append(Builder *b, Value *to, Value *item) {
    if (to->as.items.count == to->as.items.capacity) { /* the old array stays in the arena */
        const int64_t n = 2 * to->as.items.capacity + 4;
        Value **larger = arena_take(b->arena, (size_t)n * sizeof *larger);
        if (!larger) {
            builder_no_memory(b);
            return;
        }
        if (to->as.items.count)
            memcpy(larger, to->as.items.at, (size_t)to->as.items.count * sizeof *larger);
        to->as.items.at = larger;
        to->as.items.capacity = n;
    }
    to->as.items.at[to->as.items.count++] = item;
}

bool value_is_text(const Value *v, const char *text) {
    const size_t n = strlen(text);
    return v->kind == VALUE_TEXT && v->as.text.bytes == (int64_t)n &&
           memcmp(v->as.text.at, text, n) == 0;
}

/* Returns item i of a list, or NULL where there is none. */
static Value *item(const Value *list, int64_t i) {
    return list && list->kind == VALUE_LIST && i < list->as.items.count ? list->as.items.at[i]
                                                                        : NULL;
}

static bool is_int(const Value *v) {
    return v && v->kind == VALUE_INT;
}

/* --- globals ---------------------------------------------------------------------------------- */

Value *object_global(Builder *b, const char *module, int64_t module_bytes, const char *name,
                     int64_t name_bytes) {
    char full[256];
    if (module_bytes < 0 || name_bytes < 0 || module_bytes + name_bytes + 2 > (int64_t)sizeof full)
        return builder_broken(b, "a global's name is too long");
    snprintf(full, sizeof full, "%.*s %.*s", (int)module_bytes, module, (int)name_bytes, name);
    const Global *global = global_find(full);
    if (!global) {
        const bool class = global_is_class(full);
        full[strcspn(full, " ")] = '.';
        b->status = fail(b->err, ERR_FORMAT,
                         "pickle: %s: refuses the global %s: only those that rebuild "
                         "tensors are read%s",
                         b->path, full,
                         class ? "; of a whole model that you trust, save the tensors: "
                                 "torch.save(model.state_dict(), 'state_dict.pth')"
                               : "");
        return NULL;
    }
    Value *v = value_new(b, VALUE_GLOBAL);
    if (v) v->as.global = global;
    return v;
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Makes a tensor of (storage, offset, size, stride, ...). */
static Value *new_tensor(Builder *b, const Value *arguments) {
    const Value *storage = item(arguments, 0), *offset = item(arguments, 1);
    const Value *size = item(arguments, 2), *stride = item(arguments, 3);
    const bool shaped = size && stride && size->kind == VALUE_LIST && stride->kind == VALUE_LIST &&
                        size->as.items.count == stride->as.items.count;
    if (!storage || storage->kind != VALUE_STORAGE || !is_int(offset) || !shaped ||
        size->as.items.count > PICKLE_MAX_AXES)
        return builder_broken(b, "a tensor without storage, offset, size and stride");
    Value *v = value_new(b, VALUE_TENSOR);
    if (!v) return NULL;
    v->as.tensor.storage = storage;
    v->as.tensor.offset = offset->as.integer;
    v->as.tensor.axes = (int)size->as.items.count;
    for (int i = 0; i < v->as.tensor.axes; i++) {
        if (!is_int(item(size, i)) || !is_int(item(stride, i)))
            return builder_broken(b, "a tensor's size is not a number");
        v->as.tensor.shape[i] = item(size, i)->as.integer;
        v->as.tensor.stride[i] = item(stride, i)->as.integer;
    }
    return v;
}

/* Makes a dictionary of () or ([[key, value], ...]). */
static Value *new_dict(Builder *b, const Value *arguments) {
    Value *dict = value_new(b, VALUE_DICT);
    const Value *pairs = item(arguments, 0);
    for (int64_t i = 0; dict && pairs && b->status == OK && item(pairs, i); i++) {
        const Value *pair = item(pairs, i);
        if (!item(pair, 1)) return builder_broken(b, "a dictionary's pair is not one");
        value_append(b, dict, pair->as.items.at[0]);
        value_append(b, dict, pair->as.items.at[1]);
    }
    return dict;
}

/* Makes a tensor of (function, type, arguments, state), where the function is one that rebuilds a
 * tensor. */
static Value *new_typed(Builder *b, const Value *arguments) {
    const Value *function = item(arguments, 0), *inner = item(arguments, 2);
    const bool known = function && function->kind == VALUE_GLOBAL && inner;
    const Call call = known ? function->as.global->call : CALL_IGNORED;
    if (call == CALL_TENSOR) return new_tensor(b, inner);
    if (call == CALL_FIRST && item(inner, 0)) return item(inner, 0);
    return builder_broken(b, "a typed tensor without its function");
}

/* Makes a type of numpy of ("u1", False, True). A type of anything but numbers is ignored. */
static Value *new_dtype(Builder *b, const Value *arguments) {
    Value *v = value_new(b, VALUE_IGNORED);
    const Value *name = item(arguments, 0);
    DType type;
    if (v && name && name->kind == VALUE_TEXT && name->as.text.bytes == 2 &&
        dtype_of_code(&type, name->as.text.at)) {
        v->kind = VALUE_DTYPE;
        v->as.array.type = type;
    }
    return v;
}

/* Decodes UTF-8 whose characters are all below 256 into bytes. Returns their number, or -1. */
static int64_t decode_latin1(char *to, const char *text, int64_t bytes) {
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++) {
        const uint8_t c = (uint8_t)text[i];
        if (c < 0x80) {
            to[n++] = text[i];
            continue;
        }
        if (c < 0xc2 || c > 0xc3 || i + 1 == bytes || ((uint8_t)text[i + 1] & 0xc0) != 0x80)
            return -1;
        to[n++] = (char)((c & 3) << 6 | ((uint8_t)text[++i] & 0x3f));
    }
    return n;
}

/* Makes the bytes of () or (text, "latin1"). Every text stands in the pickle once, so all of them
 * together are no longer than it; other encodings are ignored. */
static Value *new_bytes(Builder *b, const Value *arguments) {
    const Value *text = item(arguments, 0), *encoding = item(arguments, 1);
    Value *v = value_new(b, text ? VALUE_IGNORED : VALUE_TEXT);
    if (v && !text) v->as.text.at = "";
    if (!v || !text) return v;
    if (text->kind != VALUE_TEXT || !encoding ||
        !(value_is_text(encoding, "latin1") || value_is_text(encoding, "latin-1")))
        return v;
    const int64_t bytes = text->as.text.bytes;
    if (bytes > b->may_decode) return builder_broken(b, "it encodes more text than it holds");
    b->may_decode -= bytes;
    char *to = arena_take(b->arena, (size_t)bytes);
    if (!to) return builder_no_memory(b);
    v->as.text.bytes = decode_latin1(to, text->as.text.at, bytes);
    if (v->as.text.bytes < 0) return builder_broken(b, "a text of Latin-1 has other characters");
    v->kind = VALUE_TEXT;
    v->as.text.at = to;
    return v;
}

/* Makes *array an array of plain numbers in C order, or ignores it where the parts are none. */
static void fill_array(Value *array, const Value *shape, const Value *type, const Value *bytes) {
    int64_t need = 0;
    bool ok = shape && shape->kind == VALUE_LIST && shape->as.items.count <= PICKLE_MAX_AXES &&
              type && type->kind == VALUE_DTYPE && bytes && bytes->kind == VALUE_TEXT;
    Value filled = {.kind = VALUE_ARRAY};
    if (ok) {
        filled.as.array.type = type->as.array.type;
        filled.as.array.swapped = type->as.array.swapped;
        filled.as.array.at = bytes->as.text.at;
        filled.as.array.axes = (int)shape->as.items.count;
        need = dtype_bytes(type->as.array.type);
    }
    for (int i = 0; ok && i < filled.as.array.axes; i++) {
        const Value *n = item(shape, i);
        ok = is_int(n) && n->as.integer >= 0 && !__builtin_mul_overflow(need, n->as.integer, &need);
        if (ok) filled.as.array.shape[i] = n->as.integer;
    }
    if (!ok || need != bytes->as.text.bytes) filled.kind = VALUE_IGNORED;
    *array = filled;
}

/* Makes an array of (bytes, type, shape, "C"); of another order it is ignored. */
static Value *new_from_buffer(Builder *b, const Value *arguments) {
    Value *v = value_new(b, VALUE_IGNORED);
    const Value *order = item(arguments, 3);
    if (v && order && value_is_text(order, "C"))
        fill_array(v, item(arguments, 2), item(arguments, 1), item(arguments, 0));
    return v;
}

Value *object_call(Builder *b, const Value *callee, const Value *arguments) {
    if (callee->kind == VALUE_IGNORED) /* an object that an ignored one makes is ignored */
        return value_new(b, VALUE_IGNORED);
    if (callee->kind != VALUE_GLOBAL || arguments->kind != VALUE_LIST)
        return builder_broken(b, "it calls something that is no function");
    switch (callee->as.global->call) {
    case CALL_DICT: return new_dict(b, arguments);
    case CALL_TENSOR: return new_tensor(b, arguments);
    case CALL_FIRST:
        return item(arguments, 0) ? item(arguments, 0)
                                  : builder_broken(b, "a call without its argument");
    case CALL_TYPED: return new_typed(b, arguments);
    case CALL_IGNORED: return value_new(b, VALUE_IGNORED);
    case CALL_STORAGE: return builder_broken(b, "it calls a type of storage");
    case CALL_OBJECT: return value_new(b, VALUE_OBJECT);
    case CALL_ARRAY: return value_new(b, VALUE_ARRAY);
    case CALL_DTYPE: return new_dtype(b, arguments);
    case CALL_BYTES: return new_bytes(b, arguments);
    case CALL_BUFFER: return new_from_buffer(b, arguments);
    }
    return NULL;
}

/* --- states and storages ---------------------------------------------------------------------- */

/* Gives an array of numpy its state (version, shape, type, Fortran order, bytes), once. */
static void build_array(Value *array, const Value *state) {
    const Value *order = item(state, 3);
    const bool ok = is_int(order) && !order->as.integer && array->as.array.at == NULL;
    fill_array(array, ok ? item(state, 1) : NULL, item(state, 2), item(state, 4));
}

void object_build(Builder *b, Value *object, const Value *state) {
    if (object->kind == VALUE_ARRAY) build_array(object, state);
    if (object->kind == VALUE_DTYPE && item(state, 1))
        object->as.array.swapped = value_is_text(item(state, 1), ">");
    if (object->kind != VALUE_OBJECT || state->kind != VALUE_DICT) return;
    for (int64_t i = 0; b->status == OK && i < state->as.items.count; i++)
        value_append(b, object, state->as.items.at[i]);
}

Value *object_storage(Builder *b, const Value *id) {
    const Value *type = item(id, 1), *key = item(id, 2), *count = item(id, 4), *view = item(id, 5);
    if (!item(id, 0) || !value_is_text(item(id, 0), "storage") || !type ||
        type->kind != VALUE_GLOBAL || type->as.global->call != CALL_STORAGE || !key ||
        key->kind != VALUE_TEXT || !is_int(count) || count->as.integer < 0)
        return builder_broken(b, "a persistent id that is no storage");
    Value *v = value_new(b, VALUE_STORAGE);
    if (!v) return NULL;
    v->as.storage.type = type->as.global->type;
    v->as.storage.key = key;
    v->as.storage.count = count->as.integer;
    if (view && view->kind == VALUE_LIST) { /* a view (key, offset, count) of a larger storage */
        if (!is_int(item(view, 1)) || !is_int(item(view, 2)))
            return builder_broken(b, "a storage view without offset and size");
        v->as.storage.first = item(view, 1)->as.integer;
        v->as.storage.count = item(view, 2)->as.integer;
    }
    return v;
}
