/* globals.c - the names that a pickle may use: every other one is refused. */
#include "io/pickle/globals.h"

#include <string.h>

/* All globals that are known, but for `settings` below. */
static const Global globals[] = {
    {"collections OrderedDict", CALL_DICT, 0},
    {"torch._utils _rebuild_tensor_v2", CALL_TENSOR, 0},
    {"torch._utils _rebuild_tensor", CALL_TENSOR, 0},
    {"torch._utils _rebuild_parameter", CALL_FIRST, 0},
    {"torch._utils _rebuild_parameter_with_state", CALL_FIRST, 0},
    {"torch._tensor _rebuild_from_type_v2", CALL_TYPED, 0},
    {"torch Size", CALL_FIRST, 0},
    {"collections defaultdict", CALL_DICT, 0},
    {"torch.jit._pickle build_intlist", CALL_FIRST, 0},
    {"torch.jit._pickle build_doublelist", CALL_FIRST, 0},
    {"torch.jit._pickle build_boollist", CALL_FIRST, 0},
    {"torch.jit._pickle build_tensorlist", CALL_FIRST, 0},
    {"torch.jit._pickle restore_type_tag", CALL_FIRST, 0},
    {"torch HalfStorage", CALL_STORAGE, DTYPE_F16},
    {"torch BFloat16Storage", CALL_STORAGE, DTYPE_BF16},
    {"torch FloatStorage", CALL_STORAGE, DTYPE_F32},
    {"torch DoubleStorage", CALL_STORAGE, DTYPE_F64},
    {"torch BoolStorage", CALL_STORAGE, DTYPE_BOOL},
    {"torch CharStorage", CALL_STORAGE, DTYPE_I8},
    {"torch ByteStorage", CALL_STORAGE, DTYPE_U8},
    {"torch ShortStorage", CALL_STORAGE, DTYPE_I16},
    {"torch IntStorage", CALL_STORAGE, DTYPE_I32},
    {"torch LongStorage", CALL_STORAGE, DTYPE_I64},
    {"numpy.core.multiarray _reconstruct", CALL_ARRAY, 0},
    {"numpy._core.multiarray _reconstruct", CALL_ARRAY, 0},
    {"numpy dtype", CALL_DTYPE, 0},
    {"numpy.core.numeric _frombuffer", CALL_BUFFER, 0},
    {"numpy._core.numeric _frombuffer", CALL_BUFFER, 0},
    {"_codecs encode", CALL_BYTES, 0},
    {"__builtin__ bytes", CALL_BYTES, 0},
    {"builtins bytes", CALL_BYTES, 0},
    {"", CALL_IGNORED, 0},         /* stands for every one of `settings` */
    {"__torch__", CALL_OBJECT, 0}, /* stands for every class below it */
};
enum { GLOBALS = sizeof globals / sizeof *globals };

/* Settings, scores and dates that checkpoints hold beside tensors. They become values of kind
 * VALUE_IGNORED. A name without a space is a package, of which every global counts. */
/* clang-format off */
static const char *const settings[] = {
    "__builtin__ set", "builtins set", "__builtin__ frozenset", "builtins frozenset",
    "__builtin__ dict", "builtins dict", "__builtin__ list", "builtins list",
    "__builtin__ object", "builtins object", "__builtin__ int", "builtins int",
    "__builtin__ float", "builtins float", "__builtin__ str", "builtins str", "__builtin__ bool",
    "builtins bool", "__builtin__ slice", "builtins slice", "__builtin__ complex",
    "builtins complex", "__builtin__ bytearray", "builtins bytearray", "copy_reg _reconstructor",
    "copyreg _reconstructor", "argparse Namespace", "types SimpleNamespace",
    "collections Counter", "collections deque", "datetime datetime", "datetime date",
    "datetime timedelta", "datetime timezone", "pathlib Path", "pathlib PosixPath",
    "pathlib PurePosixPath", "pathlib WindowsPath", "pathlib._local PosixPath",
    "pathlib._local WindowsPath", "typing Any", "enum Enum", "uuid UUID", "decimal Decimal",
    "fractions Fraction", "functools partial", "torch device", "torch dtype", "torch float32",
    "torch float16", "torch bfloat16", "torch float64", "torch int64", "torch int32",
    "torch int16", "torch int8", "torch uint8", "torch bool", "torch Tensor", "torch strided",
    "torch contiguous_format", "torch channels_last", "torch preserve_format", "torch Generator",
    "torch.nn.parameter Parameter", "torch.nn.parameter Buffer",
    "torch.serialization _get_layout", "numpy ndarray", "numpy float64",
    "numpy float32", "numpy int64", "numpy int32", "numpy bool_", "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar", "numpy.dtypes", "omegaconf", "antlr4", "easydict",
    "addict", "munch", "ml_collections", "yacs", "fvcore.common.config", "detectron2.config",
    "mmcv.utils.config", "mmengine.config", "pytorch_lightning.utilities.parsing",
    "pytorch_lightning.callbacks", "lightning.pytorch.utilities.parsing",
    "lightning.pytorch.callbacks", "lightning.fabric.utilities.data",
    "lightning_fabric.utilities.data"
};
/* clang-format on */

static bool is_setting(const char *name) {
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const size_t n = strlen(settings[i]);
        if (strncmp(name, settings[i], n) != 0) continue;
        if (strchr(settings[i], ' ') ? !name[n] : name[n] == '.' || name[n] == ' ') return true;
    }
    return false;
}

const Global *global_find(const char *name) {
    if (strncmp(name, "__torch__.", 10) == 0 || strncmp(name, "__torch__ ", 10) == 0)
        return &globals[GLOBALS - 1];
    if (is_setting(name)) return &globals[GLOBALS - 2];
    for (int i = 0; i < GLOBALS - 2; i++)
        if (strcmp(globals[i].name, name) == 0) return &globals[i];
    return NULL;
}

bool global_is_class(const char *name) {
    const char *last = strrchr(name, ' ');
    return last && last[1] >= 'A' && last[1] <= 'Z' && strncmp(name, "subprocess ", 11) != 0;
}
