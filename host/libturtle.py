# libturtle.py - TURTLE for Python: estimators in scikit-learn's manner over libturtle, with NumPy alone.
"""TURTLE finds the human labelling of a data set from features of frozen encoders, without a label.

    from libturtle import Turtle
    labels = Turtle(n_clusters=10).fit_predict([Z1, Z2])     # one array per encoder, or a single array

Features are read where they lie if they are float16 or float32 in C order. Any other array of real numbers is copied to
float32, and a CopyWarning says so. Calls release the interpreter's lock; Ctrl-C and other exceptions end them at their next
iteration. What the library remarks goes to the logger "libturtle".

The shared library is looked for beside this file, then where `make install` put it, then by the dynamic linker. The
environment variable TURTLE_LIBRARY names another one. Its version must be the one of this file.
"""
import ctypes
import logging
import os
import queue
import sys
import threading
import types
import warnings

import numpy as np

__version__ = "0.13.0"
__all__ = ["Turtle", "KMeans", "LogisticRegression", "encode", "cluster_accuracy", "CopyWarning", "Stopped"]
_LIBDIR = None  # `make install` writes its LIBDIR here
_SONAME = "libturtle.so.0"

# --- structures of turtle.h ------------------------------------------------------------------------
# tests/python compares size, offset and type of every field with what a C compiler makes of the header.

_TYPES = {"text": ctypes.c_char_p, "pointer": ctypes.c_void_p, "int": ctypes.c_int, "bool": ctypes.c_bool,
          "double": ctypes.c_double, "int64": ctypes.c_int64, "uint64": ctypes.c_uint64, "char16": ctypes.c_char * 16,
          "char512": ctypes.c_char * 512}


def _struct(name, fields):
    """Returns the structure `name` of turtle.h, whose fields are given as "type name name, type name"."""
    pairs = [(field, _TYPES[words[0]]) for words in map(str.split, fields.split(",")) for field in words[1:]]
    _TYPES[name] = type(name, (ctypes.Structure,), {"_fields_": pairs})
    return _TYPES[name]


_Error = _struct("TurtleError", "char512 text")
_Progress = _struct("TurtleProgress", """text unit, int64 first iteration iterations, double seconds loss entropy,
    int64 clusters_found classes, double cluster_acc""")
_struct("TurtleTexts", "pointer item, int count")
_Matrix = _struct("TurtleMatrix", "pointer data, int64 rows dims, int type")
_struct("TurtleMatrices", "pointer item, int count")
_struct("TurtleHooks", "pointer progress notice context stop")
_struct("TurtleCommon", """text root_dir device precision, uint64 seed, int threads, text command_line,
    TurtleHooks hooks""")
_struct("TurtleInputs", """text dataset, TurtleTexts phis features val_features, text labels val_labels,
    TurtleMatrices Z val_Z, pointer y_true val_y_true, int64 classes""")
_struct("TurtleModel", "int64 spaces classes, pointer dims linear")
_struct("TurtleCenters", "int64 spaces classes, pointer dims, bool spherical, pointer mean center")
_struct("TurtleScores", """int64 samples unlabelled clusters classes matched, double cluster_acc mean_class_acc nmi ari,
    pointer match""")
_struct("TurtleTrainOptions", """TurtleCommon common, TurtleInputs inputs, double gamma, int64 T M,
    double inner_lr outer_lr, int64 batch_size, bool warm_start, text prior rng, int64 eval_every save_every,
    bool resume restart cross_val, text out, bool soft_labels, text predictions probabilities inner, bool profile,
    text profile_range""")
_struct("TurtleEvaluateOptions", """TurtleCommon common, TurtleInputs inputs, text ckpt_path, pointer model,
    bool soft_labels, text predictions probabilities cluster_names""")
_struct("TurtleNamedScores", "int64 groups left_out, double cluster_acc mean_class_acc nmi ari")
_struct("TurtleResult", """text split, int64 samples classes clusters_found unlabelled,
    pointer cluster_sizes clusters, TurtleNamedScores named, pointer cluster_of probability train_cluster_of,
    int64 train_samples, TurtleModel model, double cluster_acc mean_class_acc nmi ari train_cluster_acc
    loss entropy space_agreement generalization_score, int64 iterations, double seconds, char16 device,
    text checkpoint predictions line profile json""")
_struct("TurtleProbeOptions", """TurtleCommon common, TurtleInputs inputs, double C, bool validation, int64 Cs,
    double Crange share, int64 max_iter, double tol""")
_struct("TurtleProbeResult", """double train_acc val_acc validation_acc, int64 unlabelled val_unlabelled,
    double C objective gradient_norm, bool converged, int64 iterations classes, TurtleModel model,
    pointer class_names, double seconds, char16 device, text line json""")
_struct("TurtleKmeansOptions", """TurtleCommon common, TurtleInputs inputs, int64 n_init, text init, bool spherical,
    int64 max_iter, double tol, text predictions, pointer centers""")
_struct("TurtleKmeansResult", """int64 samples classes clusters_found, pointer cluster_sizes cluster_of,
    int64 val_samples, pointer val_cluster_of, double train_acc val_acc, text split, double nmi ari,
    int64 unlabelled, double inertia, int64 iterations, pointer restart, int64 restarts best, TurtleCenters centers,
    double seconds, char16 device, text line json""")
_Bytes = _struct("TurtleBytes", "pointer data, int64 bytes")
_struct("TurtlePictures", "int64 count, pointer rgb, int64 height width, pointer file")
_struct("TurtleEncoder", """text config, int64 heads, text activation, double norm_eps rope_base,
    text mean std resize interpolation""")
_struct("TurtleEncodeOptions", """TurtleCommon common, TurtlePictures pictures, TurtleEncoder encoder, text weights,
    int64 batch_size image_size, text feature, bool normalize, text orient, pointer features, int64 dims, int type""")
_struct("TurtleEncodeResult", "int64 images dims, double seconds images_per_s, char16 device, text json")
_TellProgress = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Progress))
_TellNotice = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)

# --- the shared library ----------------------------------------------------------------------------


def _library():
    """Returns the shared library, after its version was compared."""
    named = os.environ.get("TURTLE_LIBRARY")
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), _SONAME)
    there = os.path.join(_LIBDIR or "", _SONAME)
    path = named or (here if os.path.exists(here) else there if _LIBDIR and os.path.exists(there) else _SONAME)
    try:
        library = ctypes.CDLL(path)
        library.turtle_version.restype = ctypes.c_char_p
        version = library.turtle_version().decode()
    except (OSError, AttributeError) as error:
        raise ImportError("libturtle: %s: %s: build the library with `make lib`, install it with `make install`, or set "
                          "TURTLE_LIBRARY to its path" % (path, error)) from None
    if version.split()[0] != __version__:
        raise ImportError("libturtle: %s has version %s, %s has %s: install both from one build, or set TURTLE_LIBRARY "
                          "to a library of this version" % (path, version.split()[0], __file__, __version__))
    return library


_lib = _library()
_log = logging.getLogger("libturtle")


class CopyWarning(UserWarning):
    """An array could not be read where it lies, and was copied."""


class Stopped(RuntimeError):
    """A progress function returned a true value, and the call has ended."""


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before `fit`."""


_EXCEPTIONS = {1: ValueError, 2: ValueError, 3: ValueError, 4: OSError, 5: MemoryError, 6: RuntimeError, 7: Stopped,
               8: FloatingPointError}  # by TurtleStatus


def _call(name, options, out, progress):
    """Runs a function of turtle.h in a thread of its own, while this one serves its hooks and catches exceptions.

    So signal handlers run at once, `progress` runs in the caller's thread, and what either of them raises is kept until
    the function has returned. The structures, and what they point to, live in the thread as long as it needs them."""
    stop, status, error = ctypes.c_int(0), [], _Error()
    events, answers = queue.SimpleQueue(), queue.SimpleQueue()

    def tell(_, p):
        p = p.contents
        known = {field: getattr(p, field) for field, _ in _Progress._fields_}
        events.put((True, types.SimpleNamespace(**dict(known, unit=known["unit"].decode()))))
        return answers.get()

    @_TellNotice
    def notice(_, line):
        events.put((False, line.decode(errors="replace")))

    told = _TellProgress(tell) if progress else None
    hooks = options.common.hooks
    hooks.progress, hooks.notice = ctypes.cast(told, ctypes.c_void_p), ctypes.cast(notice, ctypes.c_void_p)
    hooks.stop = ctypes.addressof(stop)
    function = getattr(_lib, name)

    def work(*_):
        status.append(function(ctypes.byref(options), ctypes.byref(out), ctypes.byref(error)))
        events.put(None)

    raised, worker = None, threading.Thread(target=work, name=name, args=(told, notice, stop))
    try:
        worker.start()
        while not status or not events.empty():
            try:
                event = events.get()
                if event and not event[0]:
                    _log.info("%s", event[1])
                elif event and not raised:
                    if progress(event[1]):
                        raise Stopped("%s: the progress function ended it after %d of %d %s" % (
                            name, event[1].iteration, event[1].iterations, event[1].unit))
                    answers.put(0)
            except BaseException as problem:
                stop.value, raised = 1, raised or problem
            if raised:
                answers.put(1)
    finally:
        stop.value = 1
        answers.put(1)
        if worker.ident:
            worker.join()
    if raised:
        try:
            raise raised
        finally:
            del raised  # its traceback holds this frame
    if status[0]:
        raise _EXCEPTIONS.get(status[0], RuntimeError)(error.text.decode(errors="replace"))


class _Result:
    """A result of turtle.h inside `with`; its memory is freed at the end."""

    def __init__(self, name, options, kind, free, progress=None):
        self.out, self.free = _TYPES[kind](), getattr(_lib, free)
        self.arguments = (name, options, self.out, progress)

    def __enter__(self):
        try:
            _call(*self.arguments)
        except BaseException:
            self.__exit__()
            raise
        return self.out

    def __exit__(self, *_):
        self.free(ctypes.byref(self.out))


def _array(address, shape, dtype):
    """Returns a copy of memory that the library owns."""
    count = int(np.prod(shape))
    if not count:
        return np.zeros(shape, dtype)
    memory = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape).copy()


# --- arrays ----------------------------------------------------------------------------------------


def _warn(text, kind):
    """Warns at the line that called this file."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, kind, stacklevel=level)


def _of_sklearn(name, own):
    """Returns the class of that name if scikit-learn is loaded, for its programs expect it; else `own`."""
    return getattr(sys.modules.get("sklearn.exceptions"), name, own)


def _matrix(Z, name):
    """Returns Z as float16 or float32 (N,d) in C order: itself, or a copy with a warning."""
    if hasattr(Z, "tocsr"):
        raise TypeError("%s: sparse matrices are not read: pass a dense array, Z.toarray()" % name)
    z = np.asarray(Z)
    if z.dtype.kind == "O":
        try:
            z = z.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)("%s: an argument must be a string or a real number: %s" % (name, error)) from None
    if z.dtype.kind == "c":
        raise ValueError("%s: Complex data not supported: expected real numbers" % name)
    if z.dtype.kind not in "fiub":
        raise ValueError("%s: %s: expected an array of real numbers" % (name, z.dtype))
    if z.ndim != 2:
        raise ValueError("%s: %d axes: expected (samples, features). Reshape your data with Z.reshape(-1, 1) if it has one "
                         "feature, or Z.reshape(1, -1) if it is one sample" % (name, z.ndim))
    for count, what in zip(z.shape, ("sample", "feature")):
        if not count:
            raise ValueError("%s: 0 %s(s) (shape=%s) while a minimum of 1 is required." % (name, what, z.shape))
    kept = z.dtype if z.dtype in (np.float16, np.float32) and z.dtype.isnative else np.dtype(np.float32)
    if z.dtype == kept and z.flags.c_contiguous and z.flags.aligned:
        return z
    _warn("%s: %s%s is copied to %s in C order: float16 and float32 in C order are read where they lie" % (
        name, z.dtype, "" if z.flags.c_contiguous else " in another order", kept), CopyWarning)
    with np.errstate(over="ignore"):
        copy = np.array(z, dtype=kept, order="C")
    if np.isinf(copy).any() and not np.isinf(z).any():
        raise ValueError("%s: a number is beyond float32, as good as infinity: scale the features" % name)
    return copy


def _spaces(Z):
    """Returns the matrices of Z, which is one array or a list or tuple of them, one per space."""
    many = isinstance(Z, (list, tuple)) and len(Z) and np.ndim(Z[0]) >= 2
    Zs = [_matrix(z, "Z%d" % (k + 1)) for k, z in enumerate(Z)] if many else [_matrix(Z, "Z")]
    for k, z in enumerate(Zs):
        if len(z) != len(Zs[0]):
            raise ValueError("Z%d has %d rows, Z1 has %d: one row per sample, in the same order" % (
                k + 1, len(z), len(Zs[0])))
    return Zs


def _labels(y, n):
    """Returns y as an array (n) of labels."""
    if y is None:
        raise ValueError("y: requires y to be passed, but the target y is None")
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        _warn("A column-vector y was passed when a 1d array was expected: it is taken as y.ravel()",
              _of_sklearn("DataConversionWarning", UserWarning))
        y = y.ravel()
    if y.ndim != 1 or len(y) != n:
        raise ValueError("y: shape %s: expected one label for each of the %d samples; y should be a 1d array" % (y.shape, n))
    if y.dtype.kind == "c":
        raise ValueError("y: Complex data not supported: expected labels")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("y: Input y contains NaN or infinity: expected a label for every sample")
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise ValueError("y: Unknown label type: continuous: expected integers or names")
    return y


def _one(items):
    """Returns the only item of a list, or the list."""
    return items[0] if len(items) == 1 else items


def _several(items):
    """Returns a list, of one item if `items` is none."""
    return items if isinstance(items, list) else [items]


def _seed(random_state):
    """Returns the seed that scikit-learn's random_state stands for: a number, a generator, or None for any."""
    if random_state is None:
        random_state = np.random.default_rng()
    for draw in ("integers", "randint"):
        if hasattr(random_state, draw):
            return int(getattr(random_state, draw)(2**31 - 1))
    return _whole("random_state", random_state, 0)


def _whole(name, value, least, bits=63):
    """Returns a whole number from `least` on, below 2^bits."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__") or not least <= value.__index__() < 2**bits:
        raise ValueError("%s=%r: expected a whole number from %d on" % (name, value, least))
    return value.__index__()


def _text(name, value):
    """Returns a text as the library takes it."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("%s=%r: expected a text" % (name, value))
    return value.encode()


# --- estimators ------------------------------------------------------------------------------------


class _Estimator:
    """The conventions of scikit-learn, without scikit-learn."""

    @classmethod
    def _names(cls):
        code = cls.__init__.__code__
        return sorted(code.co_varnames[1:code.co_argcount + code.co_kwonlyargcount])

    def get_params(self, deep=True):
        """Returns the parameters of the constructor by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params):
        """Sets parameters of the constructor by name. Returns the estimator."""
        for name, value in params.items():
            if name not in self._names():
                raise ValueError("%s has no parameter %r: it has %s" % (type(self).__name__, name, ", ".join(self._names())))
            setattr(self, name, value)
        return self

    def __repr__(self):
        said = ", ".join("%s=%r" % item for item in sorted(self.get_params().items()))
        return "%s(%s)" % (type(self).__name__, said)

    def __sklearn_tags__(self):
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags  # scikit-learn alone calls this
        classifier = self._kind == "classifier"
        return Tags(estimator_type=self._kind, target_tags=TargetTags(required=classifier), transformer_tags=None,
                    classifier_tags=ClassifierTags() if classifier else None, regressor_tags=None,
                    input_tags=InputTags())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_widths")

    def _options(self, kind, defaults, Zs, y_true=None, **fields):
        """Returns options with the library's defaults, this estimator's values and the matrices Zs."""
        options = _TYPES[kind]()
        getattr(_lib, defaults)(ctypes.byref(options))
        options.common.device = _text("device", self.device)
        options.common.precision = _text("precision", getattr(self, "precision", "auto"))
        options.common.threads = _whole("threads", self.threads, 0, 31)
        matrices = (_Matrix * len(Zs))(*[(z.ctypes.data, z.shape[0], z.shape[1], int(z.dtype == np.float16)) for z in Zs])
        options.inputs.Z.item, options.inputs.Z.count = ctypes.addressof(matrices), len(Zs)
        options.kept = [Zs, matrices, y_true]  # lives as long as the options
        if y_true is not None:
            options.inputs.y_true = y_true.ctypes.data
        for name, value in fields.items():
            setattr(options, name, _text(name, value) if dict(options._fields_)[name] is ctypes.c_char_p else value)
        return options

    def _numbers(self, wholes, reals):
        """Returns checked values of parameters, by name: whole numbers from 1 on, and real numbers."""
        found = {name: _whole(name, getattr(self, name), 1) for name in wholes.split()}
        for name in reals.split():
            value = getattr(self, name)
            if isinstance(value, (bool, str)) or not np.isscalar(value) or not np.isfinite(value):
                raise ValueError("%s=%r: expected a finite number" % (name, value))
            found[name] = float(value)
        return found

    def _fit_spaces(self, Z):
        """Returns the matrices of Z, with enough samples."""
        Zs = _spaces(Z)
        if self._kind == "clusterer" and len(Zs[0]) < _whole("n_clusters", self.n_clusters, 2):
            raise ValueError("n_samples=%d is less than n_clusters=%d: every cluster needs a sample" % (
                len(Zs[0]), self.n_clusters))
        return Zs

    def _fitted(self, Zs):
        self._widths = [z.shape[1] for z in Zs]
        self.n_features_in_ = _one(self._widths)
        return self

    def _again(self, Z):
        """Returns the matrices of Z, which must be like those that `fit` saw."""
        if not hasattr(self, "_widths"):
            raise _of_sklearn("NotFittedError", NotFittedError)(
                "This %s instance is not fitted yet: call fit before" % type(self).__name__)
        Zs = _spaces(Z)
        if len(Zs) != len(self._widths):
            raise ValueError("Z: %d spaces, but %s was fitted to %d" % (len(Zs), type(self).__name__, len(self._widths)))
        for k, (z, d) in enumerate(zip(Zs, self._widths)):
            if z.shape[1] != d:
                raise ValueError("Z%d: X has %d features, but %s is expecting %d features as input" % (
                    k + 1, z.shape[1], type(self).__name__, d))
        return Zs

    def _keep_model(self, model):
        """Takes the linear layer of each space: coef_ (C,d) and intercept_ (C), lists of them for several spaces."""
        C, dims = model.classes, _array(model.dims, (model.spaces,), np.int64)
        places = _array(model.linear, (model.spaces,), np.uint64)
        linear = [_array(int(at), ((d + 1) * C,), np.float32) for at, d in zip(places, dims)]
        self.coef_ = _one([x[:d * C].reshape(C, d) for x, d in zip(linear, dims)])
        self.intercept_ = _one([x[d * C:] for x, d in zip(linear, dims)])

    def _apply(self, Z, soft):
        """Returns the clusters (N) of samples, or their soft labels (N,C), by the linear layers."""
        Zs = self._again(Z)
        layers = list(zip(_several(self.coef_), _several(self.intercept_)))
        for (W, b), d in zip(layers, self._widths):
            if np.shape(W) != (len(b), d) or len(b) != len(layers[0][1]):
                raise ValueError("coef_ of shape %s, intercept_ of %s: expected (classes, %d) and (classes,)" %
                                 (np.shape(W), np.shape(b), d))
        linear = [np.concatenate([np.ravel(W), b]).astype(np.float32) for W, b in layers]
        C, dims = len(layers[0][1]), np.array(self._widths, np.int64)
        places = np.array([x.ctypes.data for x in linear], np.uint64)
        model = _TYPES["TurtleModel"](len(Zs), C, dims.ctypes.data, places.ctypes.data)
        options = self._options("TurtleEvaluateOptions", "turtle_evaluate_defaults", Zs, model=ctypes.addressof(model),
                                soft_labels=soft)
        options.kept += [model, dims, linear, places]
        with _Result("turtle_evaluate", options, "TurtleResult", "turtle_result_free") as r:
            if soft:
                return _array(r.probability, (r.samples, C), np.float32)
            return _array(r.cluster_of, (r.samples,), np.int64)


class _Clusterer(_Estimator):
    _kind = "clusterer"

    def fit_predict(self, Z, y=None):
        """Fits, and returns the cluster (N) of each sample."""
        return self.fit(Z).labels_

    def score(self, Z, y):
        """Returns the cluster accuracy of samples whose true labels are y."""
        return cluster_accuracy(y, self.predict(Z))


class Turtle(_Clusterer):
    """Finds n_clusters classes that linear classifiers of every space separate and agree on.

    T outer iterations, each with M inner steps; gamma weighs the entropy of the clusters' sizes; rng is "philox", or "torch"
    for the published implementation's streams. warm_start keeps the inner heads, and does not continue an earlier fit.
    prior, "uniform" or "power:A", is how large the clusters are expected to be. cross_val computes
    generalization_score_, which ranks runs without labels. progress is called after each iteration with an object that
    has iteration, iterations, seconds, loss, entropy and clusters_found; a true answer ends the fit with Stopped.

    After fit: labels_ (N), coef_ (C,d) and intercept_ (C), loss_, entropy_, space_agreement_, generalization_score_,
    n_iter_, n_features_in_. For several spaces coef_, intercept_ and n_features_in_ are lists."""

    def __init__(self, n_clusters=10, *, T=6000, M=10, gamma=10.0, inner_lr=0.001, outer_lr=0.001, batch_size=10000,
                 warm_start=False, prior="uniform", rng="philox", random_state=42, cross_val=False, device="auto",
                 precision="auto", threads=0, progress=None):
        self.n_clusters, self.T, self.M, self.gamma = n_clusters, T, M, gamma
        self.inner_lr, self.outer_lr, self.batch_size = inner_lr, outer_lr, batch_size
        self.warm_start, self.prior, self.rng, self.random_state = warm_start, prior, rng, random_state
        self.cross_val, self.device, self.precision = cross_val, device, precision
        self.threads, self.progress = threads, progress

    def fit(self, Z, y=None):
        """Finds the clusters of Z, features (N,d) or a list of them, one per space. y is not looked at."""
        Zs = self._fit_spaces(Z)
        options = self._options(
            "TurtleTrainOptions", "turtle_train_defaults", Zs, prior=self.prior, rng=self.rng,
            warm_start=bool(self.warm_start), cross_val=bool(self.cross_val), save_every=0,
            eval_every=20 if self.progress else 0, **self._numbers("T M batch_size", "gamma inner_lr outer_lr"))
        options.inputs.classes, options.common.seed = self.n_clusters, _seed(self.random_state)
        with _Result("turtle_train", options, "TurtleResult", "turtle_result_free", self.progress) as r:
            self.labels_ = _array(r.train_cluster_of, (r.train_samples,), np.int64)
            self._keep_model(r.model)
            self.loss_, self.entropy_, self.space_agreement_ = r.loss, r.entropy, r.space_agreement
            self.generalization_score_, self.n_iter_ = r.generalization_score, r.iterations
        return self._fitted(Zs)

    def predict(self, Z):
        """Returns the cluster (N) of each sample."""
        return self._apply(Z, False)

    def predict_proba(self, Z):
        """Returns the soft labels (N, n_clusters), float32; rows sum to 1."""
        return self._apply(Z, True)


class KMeans(_Clusterer):
    """k-means: Lloyd's algorithm from n_init starts. spherical compares by cosine. Rows of several spaces are scaled to
    length 1 and stand side by side. progress is called after each start.

    After fit: labels_ (N), cluster_centers_ (C,d), inertia_, n_iter_, n_features_in_."""

    def __init__(self, n_clusters=8, *, init="k-means++", n_init=10, max_iter=1000, tol=1e-4, spherical=False,
                 random_state=42, device="auto", threads=0, progress=None):
        self.n_clusters, self.init, self.n_init, self.max_iter, self.tol = n_clusters, init, n_init, max_iter, tol
        self.spherical, self.random_state, self.device = spherical, random_state, device
        self.threads, self.progress = threads, progress

    def fit(self, Z, y=None):
        """Finds the clusters of Z, features (N,d) or a list of them, one per space. y is not looked at."""
        Zs = self._fit_spaces(Z)
        init = "kmeans++" if self.init == "k-means++" else self.init
        options = self._options("TurtleKmeansOptions", "turtle_kmeans_defaults", Zs, init=init,
                                spherical=bool(self.spherical), **self._numbers("n_init max_iter", "tol"))
        options.inputs.classes, options.common.seed = self.n_clusters, _seed(self.random_state)
        with _Result("turtle_kmeans", options, "TurtleKmeansResult", "turtle_kmeans_result_free", self.progress) as r:
            self.labels_ = _array(r.cluster_of, (r.samples,), np.int64)
            d = sum(z.shape[1] for z in Zs)
            self._mean = _array(r.centers.mean, (d,), np.float32)
            self._center = _array(r.centers.center, (r.centers.classes, d), np.float32)
            self.cluster_centers_ = self._center + self._mean
            self.inertia_, self.n_iter_ = r.inertia, r.iterations
        return self._fitted(Zs)

    def predict(self, Z):
        """Returns the nearest centre (N) of each sample."""
        Zs = self._again(Z)
        dims = np.array(self._widths, np.int64)
        centers = _TYPES["TurtleCenters"](len(Zs), len(self._center), dims.ctypes.data, bool(self.spherical),
                                          self._mean.ctypes.data, self._center.ctypes.data)
        options = self._options("TurtleKmeansOptions", "turtle_kmeans_defaults", Zs, centers=ctypes.addressof(centers))
        options.kept += [dims, centers]
        options.inputs.classes = len(self._center)
        with _Result("turtle_kmeans", options, "TurtleKmeansResult", "turtle_kmeans_result_free") as r:
            return _array(r.cluster_of, (r.samples,), np.int64)


class LogisticRegression(_Estimator):
    """Multinomial logistic regression with an L2 penalty of strength 1/C, fitted to the gradient tolerance tol.
    progress is called after each iteration.

    After fit: classes_ (C), coef_ (C,d), intercept_ (C), n_iter_, n_features_in_. Two classes have two rows."""

    _kind = "classifier"

    def __init__(self, C=1.0, *, max_iter=1000, tol=1e-8, device="auto", threads=0, progress=None):
        self.C, self.max_iter, self.tol, self.device = C, max_iter, tol, device
        self.threads, self.progress = threads, progress

    def fit(self, Z, y):
        """Fits to features Z (N,d) and labels y (N), numbers or names."""
        Zs = self._fit_spaces(Z)
        if len(Zs) > 1:
            raise ValueError("Z: %d spaces: the regression reads one array" % len(Zs))
        classes, y_true = np.unique(_labels(y, len(Zs[0])), return_inverse=True)
        if len(classes) < 2:
            raise ValueError("y: 1 class (%s): expected two classes or more" % classes[0])
        y_true = np.ascontiguousarray(y_true, np.int64).ravel()
        options = self._options("TurtleProbeOptions", "turtle_probe_defaults", Zs, y_true=y_true,
                                **self._numbers("max_iter", "C tol"))
        with _Result("turtle_probe", options, "TurtleProbeResult", "turtle_probe_result_free", self.progress) as r:
            self._keep_model(r.model)
            self.classes_, self.n_iter_ = classes, r.iterations
        return self._fitted(Zs)

    def predict(self, Z):
        """Returns the label (N) of each sample."""
        found = self._apply(Z, False)
        return self.classes_[found]

    def predict_proba(self, Z):
        """Returns the probability (N,C) of each class, float32, in the order of classes_."""
        return self._apply(Z, True)

    def score(self, Z, y):
        """Returns the share of samples whose label is y."""
        found = self.predict(Z)
        return float(np.mean(found == _labels(y, len(found))))


# --- pictures --------------------------------------------------------------------------------------


def _pictures(images):
    """Returns TurtlePictures of pixels or files, and what they point to."""
    pictures = _TYPES["TurtlePictures"]()
    if isinstance(images, (list, tuple)) and all(isinstance(x, (str, bytes, os.PathLike)) for x in images):
        data = []
        for x in images:
            if not isinstance(x, bytes):
                with open(x, "rb") as file:
                    x = file.read()
            data.append(x)
        files = (_Bytes * len(data))(*[(ctypes.cast(x, ctypes.c_void_p), len(x)) for x in data])
        pictures.count, pictures.file = len(data), ctypes.addressof(files)
        return pictures, (data, files)
    if isinstance(images, (list, tuple)) and len({np.shape(x) for x in images}) > 1:
        raise ValueError("images: pictures of different sizes are read from files alone: give paths or their bytes")
    rgb = np.asarray(images)
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3:
        raise ValueError("images: %s %s: expected uint8 (N,height,width,3), red, green and blue in 0..255, or a list of paths"
                         % (rgb.dtype, rgb.shape))
    rgb = np.ascontiguousarray(rgb)
    pictures.count, pictures.height, pictures.width = rgb.shape[:3]
    pictures.rgb = rgb.ctypes.data
    return pictures, rgb


def encode(images, weights, *, config=None, feature="cls", normalize=False, image_size=0, batch_size=0, orient="none",
           dtype=np.float32, device="auto", precision="auto", threads=0, progress=None):
    """Returns the features (N,d) of pictures by the frozen encoder whose weights are in the file `weights`.

    images is an array uint8 (N,height,width,3), or a list of paths or of whole files as bytes. config is a configuration
    file of the encoder; feature is "cls", "patchmean" or "cls+mean"; normalize gives rows of length 1; image_size and
    batch_size of 0 are the encoder's own and 16, on a GPU up to 256; orient="exif" turns files upright; dtype, of the result,
    is float32 or float16; precision, of the products' operands, is "auto", "fp32", "fp16" or "bf16"."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float16):
        raise ValueError("dtype=%s: expected float32 or float16" % dtype)
    options = _TYPES["TurtleEncodeOptions"]()
    _lib.turtle_encode_defaults(ctypes.byref(options))
    options.pictures, options.kept = _pictures(images)
    if not options.pictures.count:
        raise ValueError("images: there are none: expected one picture or more")
    options.common.device, options.common.threads = _text("device", device), _whole("threads", threads, 0, 31)
    options.common.precision = _text("precision", precision)
    options.weights, options.feature, options.orient = os.fsencode(weights), _text("feature", feature), _text("orient", orient)
    options.encoder.config = None if config is None else os.fsencode(config)
    options.normalize, options.type = bool(normalize), int(dtype == np.float16)
    options.image_size, options.batch_size = _whole("image_size", image_size, 0), _whole("batch_size", batch_size, 0)
    with _Result("turtle_encode", options, "TurtleEncodeResult", "turtle_encode_result_free") as r:
        features = np.empty((options.pictures.count, r.dims), dtype)
    options.features, options.dims = features.ctypes.data, features.shape[1]
    with _Result("turtle_encode", options, "TurtleEncodeResult", "turtle_encode_result_free", progress):
        return features


# --- scores ----------------------------------------------------------------------------------------


def cluster_accuracy(y_true, y_pred):
    """Returns the share of samples whose cluster is matched with their class; each cluster is matched with at most one
    class, and each class with at most one cluster, so that most samples agree. Labels are numbers or names. Samples whose class is
    not known are left out by the caller, for -1 is a class like any other."""
    both = np.asarray(y_true), np.asarray(y_pred)
    y, clusters = [np.ascontiguousarray(np.unique(_labels(x, len(both[0])), return_inverse=True)[1], np.int64).ravel()
                   for x in both]
    out, error = _TYPES["TurtleScores"](), _Error()
    status = _lib.turtle_scores(ctypes.c_void_p(clusters.ctypes.data), ctypes.c_void_p(y.ctypes.data),
                                ctypes.c_int64(len(y)), ctypes.byref(out), ctypes.byref(error))
    accuracy = out.cluster_acc
    _lib.turtle_scores_free(ctypes.byref(out))
    if status:
        raise _EXCEPTIONS.get(status, RuntimeError)(error.text.decode(errors="replace"))
    return accuracy
