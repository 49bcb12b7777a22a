"""Models that Keras saved, with Keras' own outputs: the fixtures of `crates/import/tests/keras.rs`, made again by `cargo xtask regen`.

    python generate.py FOLDER [NAME ...]        with names, only the cases whose name contains one of them

A case is a zip archive: `model.keras` or `model.h5`, and `sample.npz` with the inputs by name, what the model gives (`output:0`,
`output:1` …), and what each layer gives (`layer:NAME`). SHA256SUMS has their hashes. Networks of Keras' applications come without their weights: these are
recipes (`weights.json`, described in testing/exports/fixture.py) for places of the file, whose bytes are left out.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import sys
import traceback
import zipfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Same orders of summation on every machine.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "exports"))

import h5py
import keras
import numpy as np
from keras import layers as L
from keras import ops

FORMATS = ("keras", "h5")
CASES = {}
# Models that give what others are expected to give, with channels last.
TWINS = {}


def case(function=None, *, formats=("keras",), low=-1.0, high=1.0):
    """Registers a function that builds a model, by its name."""

    def register(function):
        CASES[function.__name__.rstrip("_").replace("_", "-")] = (function, formats, low, high)
        return function

    return register(function) if function else register


def chain(*layers, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, name="x", dtype=dtype), *layers])


def many(shape, *layers, dtype="float32"):
    """Layers beside each other, each an output."""
    x = keras.Input(shape, name="x", dtype=dtype)
    return keras.Model(x, [layer(x) for layer in layers])


@case(formats=FORMATS)
def dense():
    return chain(L.Dense(5, activation="relu"), L.Dense(4, use_bias=False), L.Dense(3, activation="softmax"), shape=(6,))


@case
def dense_of_steps():
    return chain(L.Dense(4, activation="tanh"), L.Dense(3), shape=(None, 5))


@case(formats=FORMATS)
def conv1d():
    return many(
        (9, 3),
        L.Conv1D(4, 3), L.Conv1D(4, 3, strides=2, padding="same"), L.Conv1D(4, 2, dilation_rate=2, padding="causal"),
        L.Conv1D(6, 3, groups=3), L.Conv1D(4, 4, padding="same", activation="elu", use_bias=False),
    )


@case(formats=FORMATS)
def conv2d():
    return many(
        (7, 8, 4),
        L.Conv2D(3, 3), L.Conv2D(3, (2, 3), strides=2, padding="same"), L.Conv2D(3, 3, dilation_rate=2, padding="same"),
        L.Conv2D(4, 3, groups=2, activation="relu6"), L.Conv2D(2, 1, strides=(2, 3)), L.Conv2D(2, 4, padding="same", use_bias=False),
    )


@case
def conv2d_of_any_size():
    return chain(
        L.Conv2D(3, 3, strides=2, padding="same"), L.ReLU(), L.MaxPooling2D(padding="same"), L.Conv2D(2, 3, padding="same"),
        L.GlobalMaxPooling2D(), shape=(None, None, 2),
    )


@case
def conv3d():
    return many((5, 6, 4, 2), L.Conv3D(3, 2), L.Conv3D(3, 3, strides=2, padding="same"))


@case
def separable_and_depthwise():
    return many(
        (8, 7, 3),
        L.SeparableConv2D(4, 3), L.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2, activation="relu"),
        L.DepthwiseConv2D(3), L.DepthwiseConv2D((3, 2), strides=2, padding="same", depth_multiplier=2), L.DepthwiseConv2D(3, dilation_rate=2),
    )


@case
def separable_and_depthwise_1d():
    return many(
        (9, 3),
        L.SeparableConv1D(4, 3, padding="same"), L.SeparableConv1D(4, 3, strides=2, depth_multiplier=2),
        L.DepthwiseConv1D(3), L.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2),
    )


@case(formats=FORMATS)
def conv2d_transpose():
    return many(
        (4, 5, 3),
        L.Conv2DTranspose(2, 3), L.Conv2DTranspose(2, 3, strides=2, padding="same"), L.Conv2DTranspose(2, 2, strides=3),
        L.Conv2DTranspose(2, 2, strides=3, padding="same"), L.Conv2DTranspose(2, 4, strides=2, padding="same", activation="relu"),
        L.Conv2DTranspose(2, 3, strides=2, padding="valid", output_padding=1), L.Conv2DTranspose(2, (3, 4), strides=2, padding="same", output_padding=1),
        L.Conv2DTranspose(2, 5, strides=2, use_bias=False),
    )


@case
def conv1d_and_3d_transpose():
    x, y = keras.Input((5, 3), name="x"), keras.Input((3, 4, 2, 2), name="y")
    return keras.Model([x, y], [
        L.Conv1DTranspose(2, 3, strides=2, padding="same")(x), L.Conv1DTranspose(2, 3, strides=2)(x),
        L.Conv3DTranspose(2, 3, strides=2, padding="same")(y), L.Conv3DTranspose(2, 2)(y),
    ])


@case
def transposed_of_any_size():
    return chain(L.Conv2DTranspose(2, 3, strides=2, padding="same"), L.Conv2DTranspose(2, 4, strides=2), shape=(None, None, 2))


@case
def channels_first():
    """TensorFlow's CPU kernels do not take such images: what is expected comes from a twin with channels last and the same weights."""

    def build(form):
        first = form == "channels_first"
        x = keras.Input((3, 8, 6) if first else (8, 6, 3), name="x")
        y = L.Conv2D(4, 3, strides=2, padding="same", data_format=form)(x)
        y = L.BatchNormalization(axis=1 if first else -1)(y)
        y = L.MaxPooling2D(data_format=form)(y)
        return keras.Model(x, [
            L.Flatten(data_format=form)(y), L.GlobalAveragePooling2D(data_format=form)(y),
            L.ZeroPadding2D(((1, 0), (2, 1)), data_format=form)(x), L.UpSampling2D(2, data_format=form)(x),
            L.SeparableConv2D(2, 3, data_format=form)(x), L.Conv2DTranspose(2, 3, strides=2, data_format=form)(x),
            L.Cropping2D(((1, 0), (2, 1)), data_format=form)(x), L.GroupNormalization(3, axis=1 if first else -1)(x),
        ])

    model = build("channels_first")
    TWINS[id(model)] = build("channels_last")
    return model


@case(formats=FORMATS)
def pools():
    return many(
        (7, 6, 3),
        L.MaxPooling2D(), L.MaxPooling2D(3, strides=2, padding="same"), L.AveragePooling2D((2, 3)), L.AveragePooling2D(3, strides=2, padding="same"),
        L.AveragePooling2D(3, strides=1, padding="same"), L.GlobalAveragePooling2D(), L.GlobalMaxPooling2D(), L.GlobalAveragePooling2D(keepdims=True),
        L.GlobalMaxPooling2D(keepdims=True),
    )


@case
def adaptive_pools():
    x, y, z = keras.Input((6, 8, 3), name="x"), keras.Input((6, 3), name="y"), keras.Input((4, 6, 2, 2), name="z")
    return keras.Model([x, y, z], [
        L.AdaptiveAveragePooling2D((3, 2))(x), L.AdaptiveMaxPooling2D(2)(x), L.AdaptiveAveragePooling2D(1)(x), L.AdaptiveAveragePooling1D(2)(y),
        L.AdaptiveMaxPooling1D(3)(y), L.AdaptiveAveragePooling3D((2, 3, 1))(z), L.AdaptiveMaxPooling3D(2)(z),
    ])


@case
def pools_1d_and_3d():
    x, y = keras.Input((7, 3), name="x"), keras.Input((4, 5, 6, 2), name="y")
    return keras.Model([x, y], [
        L.MaxPooling1D(3, strides=2, padding="same")(x), L.AveragePooling1D(2)(x), L.AveragePooling1D(3, strides=2, padding="same")(x),
        L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(x), L.GlobalAveragePooling1D(keepdims=True)(x),
        L.MaxPooling3D()(y), L.AveragePooling3D(2, padding="same")(y), L.GlobalAveragePooling3D()(y), L.GlobalMaxPooling3D()(y),
    ])


@case
def edges_and_sizes():
    return many(
        (6, 5, 2),
        L.ZeroPadding2D(), L.ZeroPadding2D((1, 2)), L.ZeroPadding2D(((1, 2), (0, 3))), L.Cropping2D(), L.Cropping2D((2, 1)),
        L.Cropping2D(((1, 0), (0, 2))), L.UpSampling2D(), L.UpSampling2D((2, 3)), L.UpSampling2D(2, interpolation="bilinear"),
    )


@case
def edges_and_sizes_1d_and_3d():
    x, y = keras.Input((6, 2), name="x"), keras.Input((3, 4, 4, 2), name="y")
    return keras.Model([x, y], [
        L.ZeroPadding1D(2)(x), L.ZeroPadding1D((0, 2))(x), L.Cropping1D((1, 2))(x), L.UpSampling1D(3)(x),
        L.ZeroPadding3D()(y), L.ZeroPadding3D(((1, 0), (0, 2), (1, 1)))(y), L.Cropping3D(((1, 0), (0, 2), (1, 1)))(y), L.UpSampling3D((1, 2, 3))(y),
    ])


@case
def resizing():
    return many(
        (6, 5, 2), L.CenterCrop(3, 2), L.CenterCrop(6, 4), L.Resizing(9, 4), L.Resizing(4, 7, interpolation="nearest"), L.Resizing(12, 3, interpolation="nearest"),
    )


@case(formats=FORMATS)
def shapes():
    x = keras.Input((4, 6), name="x")
    return keras.Model(x, [
        L.Flatten()(x), L.Reshape((3, 8))(x), L.Reshape((-1, 2, 3))(x), L.Permute((2, 1))(x), L.RepeatVector(3)(L.Flatten()(x)),
        L.Reshape((2, 2, 6))(x),
    ])


@case
def shapes_of_images():
    x = keras.Input((4, 6, 3), name="x")
    y = L.Conv2D(5, 3)(x)
    return keras.Model(x, [L.Flatten()(y), L.Reshape((8, 5))(y), L.Permute((3, 1, 2))(y), L.Reshape((-1,))(y)])


ACTIVATIONS = """celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax mish
relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid squareplus tanh tanh_shrink glu""".split()


@case(low=-8.0, high=8.0)
def activations():
    return many((10, 4), *[L.Activation(name, name=f"f_{name}") for name in ACTIVATIONS])


@case(low=-4.0, high=8.0)
def activations_of_images():
    x = keras.Input((5, 5, 2), name="x")
    y = L.Conv2D(4, 2)(x)
    return keras.Model(x, [L.Activation(name, name=f"f_{name}")(y) for name in ("softmax", "glu", "gelu", "hard_silu", "log_softmax")] + [L.Softmax(axis=1)(y)])


@case(formats=FORMATS, low=-8.0, high=8.0)
def activation_layers():
    return many(
        (5, 4, 3),
        L.ELU(0.5), L.LeakyReLU(), L.LeakyReLU(negative_slope=0.1), L.ReLU(), L.ReLU(max_value=6.0), L.ReLU(negative_slope=0.2, max_value=3.0),
        L.ReLU(negative_slope=0.25, threshold=1.5), L.ReLU(threshold=2.0, max_value=5.0), L.Softmax(), L.Softmax(axis=1), L.PReLU(),
        L.PReLU(shared_axes=[1, 2]), L.PReLU(shared_axes=[1]), L.Activation(keras.activations.relu), L.Activation(L.ReLU(max_value=1.0)),
    )


@case(formats=FORMATS)
def batch_normalization():
    x = keras.Input((5, 4, 3), name="x")
    y = L.BatchNormalization()(x)
    y = L.Conv2D(4, 2)(y)
    y = L.BatchNormalization(scale=False, epsilon=1e-2)(y)
    z = L.BatchNormalization(center=False)(L.Flatten()(y))
    return keras.Model(x, [y, z])


@case
def batch_normalization_of_steps():
    return chain(L.BatchNormalization(), L.Conv1D(4, 2), L.BatchNormalization(), shape=(6, 3))


@case
def normalizations():
    x = keras.Input((5, 4, 6), name="x")
    return keras.Model(x, [
        L.LayerNormalization()(x), L.LayerNormalization(axis=[-2, -1], epsilon=1e-5)(x), L.LayerNormalization(scale=False, center=False)(x),
        L.GroupNormalization(3)(x), L.GroupNormalization(-1, scale=False)(x), L.GroupNormalization(1)(x), L.UnitNormalization()(x),
        L.UnitNormalization(axis=[1, 2])(x), L.LayerNormalization()(L.Conv2D(4, 2)(x)), L.GroupNormalization(2)(L.Conv2D(4, 2)(x)),
    ])


@case(low=0.0, high=255.0)
def scales():
    x = keras.Input((5, 4, 3), name="x")
    adapted = L.Normalization()
    adapted.adapt(np.random.default_rng(3).uniform(0, 255, (20, 5, 4, 3)).astype("float32"))
    whole = L.Normalization(axis=None)
    whole.adapt(np.random.default_rng(4).uniform(0, 255, (20, 5, 4, 3)).astype("float32"))
    of_rows = L.Normalization(axis=(1, 3))
    of_rows.adapt(np.random.default_rng(5).uniform(0, 255, (20, 5, 4, 3)).astype("float32"))
    return keras.Model(x, [
        L.Rescaling(1 / 127.5, offset=-1)(x), L.Rescaling([0.1, 0.2, 0.3])(x), adapted(x), whole(x), of_rows(x),
        L.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(x), L.Normalization(mean=3.0, variance=2.0)(L.Conv2D(2, 2)(x)),
        L.Normalization(mean=[3.0, 1.0], variance=[2.0, 1.0])(L.Conv2D(2, 2)(x)),
    ])


@case(formats=FORMATS)
def root_mean_squares():
    x = keras.Input((5, 6), name="x")
    y = L.Conv1D(4, 2)(x)
    return keras.Model(x, [L.RMSNormalization()(x), L.RMSNormalization(epsilon=1e-3)(y)])


@case(formats=FORMATS)
def categories():
    one, four = keras.Input((1,), name="one", dtype="int32"), keras.Input((4,), name="four", dtype="int64")
    x = keras.Input((3,), name="x")
    bins = {"bin_boundaries": [-0.5, 0.0, 0.5]}
    return keras.Model([one, four, x], [
        L.CategoryEncoding(9, output_mode="one_hot")(one), L.CategoryEncoding(9, output_mode="one_hot")(four), L.CategoryEncoding(9)(four),
        L.CategoryEncoding(9, output_mode="count")(four), L.CategoryEncoding(9)(one), L.Discretization(**bins)(x),
        L.Embedding(4, 2)(L.Discretization(**bins)(x)), L.Discretization(output_mode="one_hot", **bins)(x),
    ])


@case(formats=FORMATS)
def named_ends():
    """Inputs and outputs in dictionaries."""
    x = {
        "number": keras.Input((4,), name="number"),
        "category": keras.Input((1,), name="category", dtype="int32"),
        "words": keras.Input((6,), name="words", dtype="int64"),
    }
    category = L.Flatten()(L.Embedding(9, 3)(x["category"]))
    words = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Embedding(11, 4, mask_zero=True)(x["words"]))
    y = L.Concatenate()([L.BatchNormalization()(x["number"]), category, L.GlobalMaxPooling1D()(words)])
    y = L.Dropout(0.2)(L.Dense(6, activation="swish")(y))
    return keras.Model(x, {"score": L.Dense(1, name="score", activation="sigmoid")(y), "class": L.Dense(3, name="class", activation="softmax")(y)})


@case(formats=FORMATS)
def merges():
    a, b, c = (keras.Input((4, 3), name=name) for name in "abc")
    return keras.Model([a, b, c], [
        L.Add()([a, b, c]), L.Subtract()([a, b]), L.Multiply()([a, b, c]), L.Average()([a, b, c]), L.Maximum()([a, b, c]), L.Minimum()([a, b]),
        L.Concatenate()([a, b, c]), L.Concatenate(axis=1)([a, b]),
    ])


@case
def merges_of_images():
    a, b = keras.Input((6, 5, 2), name="a"), keras.Input((3,), name="b")
    y = L.Conv2D(3, 2)(a)
    z = L.Conv2D(3, 2, padding="same")(a)
    gate = L.Reshape((1, 1, 3))(L.Dense(3)(b))
    return keras.Model([a, b], [
        L.Multiply()([y, gate]), L.Add()([y, L.Cropping2D(((0, 1), (0, 1)))(z)]), L.Concatenate()([y, L.Conv2D(2, 2)(a)]), L.Add()([y, b]),
        L.Concatenate(axis=1)([z, L.Conv2D(3, 1)(a) * 0.5]),
    ])


@case
def dots():
    a, b, c = keras.Input((5,), name="a"), keras.Input((4, 5), name="b"), keras.Input((3, 5), name="c")
    return keras.Model([a, b, c], [
        L.Dot(axes=1)([a, L.Dense(5)(a)]), L.Dot(axes=2)([b, c]), L.Dot(axes=(2, 1))([b, L.Permute((2, 1))(c)]), L.Dot(axes=(1, 2))([a, b]),
        L.Dot(axes=2, normalize=True)([b, c]), L.Dot(axes=(2, 1))([b, a]),
    ])


@case
def embeddings():
    ids = keras.Input((None,), name="ids", dtype="int32")
    x = L.Embedding(11, 4)(ids)
    return keras.Model(ids, [x, L.GlobalAveragePooling1D()(x)])


RNN_OPTIONS = {
    "last": {},
    "sequence": {"return_sequences": True},
    "state": {"return_state": True},
    "both": {"return_sequences": True, "return_state": True},
    "backwards": {"go_backwards": True},
    "backwards-sequence": {"go_backwards": True, "return_sequences": True, "return_state": True},
    "no-bias": {"use_bias": False},
    "functions": {"activation": "softsign", "recurrent_activation": "hard_sigmoid"},
    "relu": {"activation": "relu", "recurrent_activation": "sigmoid", "return_sequences": True},
    "linear": {"activation": "linear"},
    "unrolled": {"unroll": True, "return_sequences": True},
}


def rnn(kind, options, units=3):
    if kind is L.SimpleRNN:
        options = {key: value for key, value in options.items() if key != "recurrent_activation"}
    return kind(units, **options)


def recurrent(kind, **fixed):
    x = keras.Input((5, 4), name="x")
    outputs = []
    for options in RNN_OPTIONS.values():
        y = rnn(kind, {**options, **fixed})(x)
        outputs.extend(y if isinstance(y, (list, tuple)) else [y])
    return keras.Model(x, outputs)


@case(formats=FORMATS)
def lstm():
    return recurrent(L.LSTM)


@case(formats=FORMATS)
def gru():
    return recurrent(L.GRU)


@case(formats=FORMATS)
def gru_reset_before():
    return recurrent(L.GRU, reset_after=False)


@case
def simple_rnn():
    return recurrent(L.SimpleRNN)


@case
def initial_states():
    x, h, c = keras.Input((None, 4), name="x"), keras.Input((3,), name="h"), keras.Input((3,), name="c")
    return keras.Model([x, h, c], [
        L.LSTM(3)(x, initial_state=[h, c]), L.GRU(3, return_sequences=True)(x, initial_state=h), L.SimpleRNN(3)(x, initial_state=h),
        L.Bidirectional(L.LSTM(3))(x, initial_state=[h, c, c, h]),
    ])


@case(formats=FORMATS)
def bidirectional():
    x = keras.Input((5, 4), name="x")
    outputs = []
    for kind in (L.LSTM, L.GRU, L.SimpleRNN):
        for mode in ("concat", "sum", "mul", "ave"):
            outputs.append(L.Bidirectional(kind(3), merge_mode=mode)(x))
        outputs.append(L.Bidirectional(kind(3, return_sequences=True))(x))
        outputs.append(L.Bidirectional(kind(3, return_sequences=True), merge_mode="ave")(x))
    outputs.extend(L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True))(x))
    outputs.extend(L.Bidirectional(L.GRU(2, return_state=True), merge_mode=None)(x))
    outputs.append(L.Bidirectional(L.LSTM(3), backward_layer=L.LSTM(2, go_backwards=True))(x))
    return keras.Model(x, outputs)


@case
def stacked_recurrent():
    return chain(
        L.LSTM(5, return_sequences=True), L.Dropout(0.3), L.Bidirectional(L.GRU(4, return_sequences=True)), L.LayerNormalization(),
        L.SimpleRNN(4, return_sequences=True), L.TimeDistributed(L.Dense(3, activation="softmax")), shape=(None, 4),
    )


@case
def cells():
    x = keras.Input((5, 4), name="x")
    stack = L.RNN([L.LSTMCell(3), L.GRUCell(2), L.LSTMCell(4)], return_sequences=True)
    return keras.Model(x, [L.RNN(L.LSTMCell(3))(x), L.RNN(L.GRUCell(3), go_backwards=True, return_sequences=True)(x), stack(x), L.RNN(L.SimpleRNNCell(2))(x)])


@case
def masked():
    ids = keras.Input((6,), name="ids", dtype="int32")
    x = L.Embedding(7, 4, mask_zero=True)(ids)
    y = L.LSTM(3, return_sequences=True)(x)
    outputs = [
        y, L.LSTM(3)(x), L.GRU(3, go_backwards=True)(x), L.GRU(3, return_sequences=True, reset_after=False)(y), L.SimpleRNN(3)(L.Dropout(0.5)(x)),
        L.Bidirectional(L.LSTM(3))(x), L.Bidirectional(L.LSTM(3, return_sequences=True))(x), L.GlobalAveragePooling1D()(x),
        L.TimeDistributed(L.Dense(2))(y),
    ]
    outputs.extend(L.LSTM(3, return_state=True, go_backwards=True)(x))
    return keras.Model(ids, outputs)


@case(formats=FORMATS)
def encoder_decoder():
    """The mask of a sequence is handed to a layer that has no initial state, or is named."""
    source, target = keras.Input((6,), name="source", dtype="int32"), keras.Input((5,), name="target", dtype="int32")
    x, y = L.Embedding(7, 4, mask_zero=True)(source), L.Embedding(8, 4, mask_zero=True)(target)
    encoded, h, c = L.LSTM(4, return_sequences=True, return_state=True)(x)
    decoded = L.LSTM(4, return_sequences=True)(y, initial_state=[h, c])
    seen = L.MultiHeadAttention(2, 2)(decoded, encoded)
    named = L.GRU(4, return_sequences=True)(y, initial_state=h, mask=ops.not_equal(target, 3))
    both = L.Bidirectional(L.LSTM(4))(y, initial_state=[h, c, c, h])
    return keras.Model([source, target], [decoded, L.Dense(8, activation="softmax")(L.Concatenate()([decoded, seen])), named, both])


@case
def masking():
    return chain(L.Masking(0.0), L.GRU(3, return_sequences=True), L.LSTM(4), shape=(6, 2))


@case
def time_distributed():
    x = keras.Input((3, 6, 5, 2), name="x")
    inner = chain(L.Conv2D(2, 2), L.Flatten(), L.Dense(3), shape=(6, 5, 2))
    z = keras.Input((None, 6, 5, 2), name="z")
    return keras.Model([x, z], [
        L.TimeDistributed(L.Conv2D(3, 3, activation="relu"))(x), L.TimeDistributed(L.Flatten())(x), L.TimeDistributed(inner)(x),
        L.TimeDistributed(L.GlobalAveragePooling2D())(z),
    ])


@case
def attention():
    q, v = keras.Input((4, 6), name="q"), keras.Input((5, 6), name="v")
    return keras.Model([q, v], [
        L.Attention()([q, v]), L.Attention(use_scale=True)([q, v]), L.AdditiveAttention()([q, v]), L.MultiHeadAttention(2, 3)(q, v),
        L.MultiHeadAttention(2, 3, value_dim=4, use_bias=False, output_shape=5)(q, v), L.MultiHeadAttention(3, 2)(q, q, use_causal_mask=True),
        L.EinsumDense("abc,cd->abd", output_shape=(None, 3), bias_axes="d")(q), L.EinsumDense("...x,xyz->...yz", output_shape=(2, 3), bias_axes="yz")(q),
    ])


@case
def masked_attention():
    ids, others = keras.Input((5,), name="ids", dtype="int32"), keras.Input((6,), name="others", dtype="int32")
    x, y = L.Embedding(7, 4, mask_zero=True)(ids), L.Embedding(7, 4, mask_zero=True)(others)
    z = keras.Input((5, 4), name="z")
    return keras.Model([ids, others, z], [
        L.Attention()([x, y]), L.AdditiveAttention()([x, y]), L.Attention()([x, x], use_causal_mask=True), L.Attention()([z, y]),
        L.GlobalAveragePooling1D()(L.Attention(use_scale=True)([x, y, y])), L.LSTM(3)(L.AdditiveAttention()([x, z])),
    ])


@case(formats=FORMATS)
def grouped_queries():
    q, v = keras.Input((4, 6), name="q"), keras.Input((5, 6), name="v")
    x = L.Embedding(7, 6, mask_zero=True)(keras.Input((4,), name="ids", dtype="int32"))
    return keras.Model([q, v, x._keras_history.operation.input], [
        L.GroupQueryAttention(3, 4, 2)(q, v), L.GroupQueryAttention(2, 3, 1, use_bias=False)(q, v), L.GroupQueryAttention(3, 4, 2)(q, q, use_causal_mask=True),
        L.GroupQueryAttention(3, 2, 2)(x, x),
    ])


@case(formats=FORMATS)
def tied_embeddings():
    ids = keras.Input((5,), name="ids", dtype="int32")
    tied, loose = L.ReversibleEmbedding(9, 4), L.ReversibleEmbedding(9, 4, tie_weights=False, logit_soft_cap=2.0)
    x = L.Dense(4)(tied(ids) + loose(ids))
    return keras.Model(ids, [tied(x, reverse=True), loose(x, reverse=True)])


@case
def transformer():
    ids = keras.Input((None,), name="ids", dtype="int32")
    x = L.Embedding(13, 8, mask_zero=True)(ids)
    y = L.MultiHeadAttention(2, 4)(x, x)
    x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, y]))
    y = L.Dense(8)(L.Dense(16, activation="gelu")(x))
    x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, y]))
    return keras.Model(ids, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(x)))


@case(formats=FORMATS)
def functional():
    """Nested models, shared layers, several inputs and outputs, an output that is an input's, a layer called twice."""
    a, b = keras.Input((6, 6, 2), name="left"), keras.Input((6, 6, 2), name="right")
    inner = keras.Sequential([L.Conv2D(3, 3, name="c1"), L.BatchNormalization(name="n1"), L.ReLU()], name="inner")
    shared = L.Conv2D(3, 2, name="shared")
    p, q = keras.Input((4, 4, 3), name="p"), keras.Input((4, 4, 3), name="q")
    joined = keras.Model([p, q], [L.Add()([p, q]), L.Conv2D(2, 1, name="c2")(L.Concatenate()([p, q]))], name="joined")
    s, c = joined([inner(a), inner(b)])
    x, y = shared(s), shared(L.Activation("tanh")(s))
    out = L.Dense(3, name="scores")(L.Flatten()(L.Concatenate()([x, y])))
    return keras.Model([a, b], [out, c, L.GlobalAveragePooling2D(name="pool")(y)])


@case(formats=FORMATS)
def nested_twice():
    core = keras.Sequential([keras.Input((4,)), L.Dense(4, name="k"), L.BatchNormalization(name="n")], name="core")
    wrap = keras.Sequential([keras.Input((4,)), core, L.Dense(4, name="k2")], name="wrap")
    core.trainable = False
    x = keras.Input((4,), name="x")
    return keras.Model(x, [wrap(x), wrap(core(x))])


@case(formats=FORMATS)
def operations():
    x = keras.Input((6, 5, 4), name="x")
    y = L.Conv2D(4, 2)(x)
    parts = ops.split(y, 2, axis=-1)
    return keras.Model(x, [
        y + 3.0, 1.0 - y, y * y, y / 2.0, 2.0 / (ops.abs(y) + 1.0), -y, ops.mean(y, axis=[1, 2]), ops.sum(y, axis=-1, keepdims=True),
        ops.max(y, axis=1), parts[0] * parts[1], ops.reshape(y, (-1, 20, 4)), ops.transpose(y, (0, 3, 1, 2)), ops.expand_dims(y, 1),
        ops.squeeze(ops.mean(y, axis=1, keepdims=True), 1), ops.concatenate([y, y], axis=1), ops.stack([y, y], axis=2), ops.relu6(y + 3.0) * (1 / 6),
        ops.sqrt(ops.square(y)), ops.clip(y, -0.5, 0.5), ops.gelu(y), ops.silu(y), ops.matmul(ops.reshape(y, (-1, 20, 4)), ops.reshape(y, (-1, 4, 20))),
        ops.softmax(y, axis=1), ops.maximum(y, 0.1), ops.sigmoid(y) * y, y[:, 0], y[:, 1:-1, ::2, -1], y[..., :3],
    ])


@case(formats=FORMATS)
def operations_on_arrays():
    x = keras.Input((4, 6), name="x")
    y = L.Conv2D(3, 2)(L.Reshape((4, 3, 2))(x))
    return keras.Model(x, [
        ops.stop_gradient(x) * 2, ops.amax(x, axis=1), ops.amin(y, axis=[1, 2], keepdims=True), ops.argmax(y, axis=-1), ops.argmin(x, axis=1, keepdims=True),
        ops.var(x, axis=-1), ops.var(y, axis=[1, 2]), ops.std(y, axis=-1, keepdims=True), ops.pad(x, [[0, 0], [1, 2], [0, 0]]),
        ops.pad(x, [[0, 0], [1, 2], [2, 0]], mode="reflect"), ops.pad(x, [[0, 0], [0, 1], [0, 0]], constant_values=0.5), ops.tile(x, [1, 2, 3]),
        ops.repeat(x, 2, axis=1), ops.repeat(y, 3, axis=-1), ops.swapaxes(y, 1, 3), ops.moveaxis(y, 1, -1), ops.flip(y, axis=2), ops.take(x, [2, 0], axis=2),
        ops.take(x, 1, axis=1), ops.logsumexp(x, axis=-1), ops.cumsum(x, axis=1), ops.einsum("bij,bkj->bik", x, x), ops.zeros_like(y), ops.ones_like(x) * 3,
        ops.one_hot(ops.argmax(x, axis=-1), 6), ops.tril(x), ops.triu(x, k=1), ops.isnan(x), ops.tan(x), ops.sinh(x), ops.cosh(x), ops.arcsin(x),
        ops.arccos(x), ops.arctan(x), ops.arcsinh(x), ops.arctanh(x * 0.5), ops.arccosh(ops.abs(x) + 1.5),
    ])


@case
def identities():
    x = keras.Input((5, 4, 3), name="x")
    y = L.GaussianNoise(0.1)(L.SpatialDropout2D(0.2)(L.Dropout(0.2)(x)))
    y = L.Conv2D(2, 1)(L.AlphaDropout(0.1)(L.GaussianDropout(0.1)(L.ActivityRegularization(0.1)(L.Identity()(y)))))
    augmentations = [
        L.RandomFlip(), L.RandomColorDegeneration(0.2), L.RandomColorJitter(), L.RandomElasticTransform(), L.RandomErasing(), L.RandomGaussianBlur(),
        L.RandomGrayscale(), L.RandomHue(0.2), L.RandomInvert(), L.RandomPerspective(), L.RandomPosterization(4), L.RandomSaturation(0.3),
        L.RandomSharpness(0.2), L.RandomShear(),
    ]
    return keras.Model(x, [y, *[layer(x) for layer in augmentations]])


@case
def u_net():
    x = keras.Input((16, 16, 2), name="x")
    a = L.LeakyReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x)))
    b = L.Conv2D(6, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
    y = L.Concatenate()([L.Conv2DTranspose(4, 3, strides=2, padding="same")(b), a])
    return keras.Model(x, L.Conv2D(1, 1, activation="sigmoid")(y))


@case
def auto_encoder():
    return chain(
        L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), L.Flatten(), L.Dense(3), L.Dense(64), L.Reshape((4, 4, 4)),
        L.Conv2DTranspose(2, 3, strides=2, padding="same", activation="relu"), L.Conv2D(1, 3, padding="same", activation="sigmoid"), shape=(8, 8, 1),
    )


@case
def integers():
    x = keras.Input((4, 4, 3), name="x", dtype="uint8")
    return keras.Model(x, L.Conv2D(2, 2)(L.Rescaling(1 / 255)(x)))


def legacy():
    """What Keras 2 writes, by the package that carries it on."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras

    K = tf_keras.layers

    def mlp():
        return tf_keras.Sequential([K.Dense(5, activation="relu", input_shape=(4,)), K.Dropout(0.5), K.Dense(3, activation="softmax")])

    def cnn():
        x = tf_keras.Input((9, 8, 3), name="x")
        y = K.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
        y = K.LeakyReLU(alpha=0.2)(K.BatchNormalization()(y))
        y = K.ThresholdedReLU(0.3)(K.SeparableConv2D(4, 3, padding="same")(y))
        z = K.Conv2DTranspose(4, 3, strides=2, padding="same")(K.MaxPooling2D()(y))
        z = K.UpSampling2D(interpolation="bilinear")(K.ZeroPadding2D(((1, 0), (0, 1)))(z))
        return tf_keras.Model(x, [K.Dense(3, activation="hard_sigmoid")(K.Flatten()(y)), z])

    def sequences():
        ids = tf_keras.Input((6,), name="ids", dtype="int32")
        x = K.Embedding(9, 4, mask_zero=True)(ids)
        y = K.Bidirectional(K.LSTM(3, return_sequences=True))(x)
        z = K.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid")(y)
        u = K.TimeDistributed(K.Dense(2))(y)
        h = K.GRU(4, return_state=True)(x)
        return tf_keras.Model(ids, [z, u, *h, K.SimpleRNN(2)(x)])

    def nested():
        inner = tf_keras.Sequential([tf_keras.Input((4,)), K.Dense(4, name="k"), K.BatchNormalization(name="n")], name="inner")
        p = tf_keras.Input((4,), name="p")
        graph = tf_keras.Model(p, [K.Dense(3, name="g1")(p), K.Activation("tanh")(p)], name="graph")
        a, b = tf_keras.Input((4,), name="a"), tf_keras.Input((4,), name="b")
        u, v = graph(inner(a))
        w, _ = graph(b)
        return tf_keras.Model([a, b], [K.Add()([u, w]), K.Multiply()([v, inner(b)])])

    def operations():
        import tensorflow as tf

        x = tf_keras.Input((5, 4, 3), name="x")
        y = K.Conv2D(3, 2)(x)
        return tf_keras.Model(x, [tf.nn.relu(y + 3.0) * (1.0 / 6.0), tf.reduce_mean(y, axis=[1, 2]), tf.concat([y, y], -1), 1.0 - y, tf.nn.softmax(y)])

    def encoder_decoder():
        source, target = tf_keras.Input((6,), name="source", dtype="int32"), tf_keras.Input((5,), name="target", dtype="int32")
        x, y = K.Embedding(7, 4, mask_zero=True)(source), K.Embedding(8, 4, mask_zero=True)(target)
        _, h, c = K.LSTM(4, return_state=True)(x)
        decoded = K.LSTM(4, return_sequences=True)(y, initial_state=[h, c])
        return tf_keras.Model([source, target], [decoded, K.Bidirectional(K.LSTM(4))(y, initial_state=[h, c, c, h])])

    for build in (mlp, cnn, sequences, nested, operations, encoder_decoder):
        name = build.__name__.replace("_", "-")
        for form in ("h5", "keras"):
            CASES[f"keras2-{name}-{form}"] = (build, (form,), -1.0, 1.0)


def applications():
    import tf_keras

    A, of_keras2 = keras.applications, tf_keras.applications
    return {
        "mobilenet": lambda: A.MobileNet((64, 64, 3), alpha=0.25, weights=None, classes=10, classifier_activation=None),
        "mobilenet-v2": lambda: A.MobileNetV2((64, 64, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None),
        "mobilenet-v3-small": lambda: A.MobileNetV3Small((64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "mobilenet-v3-large": lambda: A.MobileNetV3Large((64, 64, 3), minimalistic=True, weights=None, classes=10, classifier_activation=None),
        "efficientnet-b0": lambda: A.EfficientNetB0(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "efficientnet-v2-b0": lambda: A.EfficientNetV2B0(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "resnet-50": lambda: A.ResNet50(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "resnet-50-v2": lambda: A.ResNet50V2(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "densenet-121": lambda: A.DenseNet121(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "inception-v3": lambda: A.InceptionV3(input_shape=(96, 96, 3), weights=None, classes=10, classifier_activation=None),
        "inception-resnet-v2": lambda: A.InceptionResNetV2(input_shape=(80, 80, 3), weights=None, classes=10, classifier_activation=None),
        "xception": lambda: A.Xception(input_shape=(96, 96, 3), weights=None, classes=10, classifier_activation=None),
        "nasnet-mobile": lambda: A.NASNetMobile(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "convnext-tiny": lambda: A.ConvNeXtTiny(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        # Keras 3 has it no more
        "keras2-regnet-x-002": lambda: of_keras2.regnet.RegNetX002(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "keras2-mobilenet-v3-small": lambda: of_keras2.MobileNetV3Small((64, 64, 3), weights=None, classes=10, classifier_activation=None),
        "vgg-16": lambda: A.VGG16(input_shape=(32, 32, 3), weights=None, include_top=False),
    }


def draw(model, rng):
    """Weights that show mistakes: no zeros, no ones, variances that are positive."""
    for weight in model.weights:
        name = (getattr(weight, "path", None) or weight.name).split("/")[-1].split(":")[0]
        shape = tuple(weight.shape)
        if "seed" in name or "count" in name or not np.issubdtype(np.dtype(weight.dtype if isinstance(weight.dtype, str) else weight.dtype.name), np.floating):
            continue
        if name in ("moving_variance", "gamma"):
            value = rng.uniform(0.5, 1.5, shape)
        elif name in ("mean", "variance"):
            continue
        else:
            value = rng.normal(0, 0.5, shape)
        weight.assign(value.astype("float32"))


def inputs_of(model, rng, low, high):
    inputs = {}
    for tensor in model.inputs:
        free = iter((5, 6, 7) if len(tensor.shape) < 5 else (2, 6, 5))
        shape = [2] + [next(free) if size is None else size for size in tensor.shape[1:]]
        dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
        if dtype == "uint8":
            value = rng.integers(0, 256, shape)
        elif dtype.startswith("int"):
            value = rng.integers(0, 7, shape)
            value[:, -2:] = 0
        else:
            value = rng.uniform(low, high, shape)
            if len(shape) == 3:
                # steps that a Masking layer drops
                value[0, 1] = 0
                value[1, -1] = 0
        inputs[tensor.name.split(":")[0]] = value.astype(dtype)
    return inputs


def sample_of(model, inputs, with_layers=True):
    given = [inputs[tensor.name.split(":")[0]] for tensor in model.inputs]
    package = keras if isinstance(model, keras.Model) else sys.modules["tf_keras"]
    arrays = dict(inputs)
    if id(model) in TWINS:
        twin = TWINS[id(model)]
        twin.set_weights(model.get_weights())
        last = twin([np.moveaxis(value, 1, -1) for value in given], training=False)
        outputs = [np.moveaxis(np.asarray(value), -1, 1) if value.ndim > 2 else value for value in last]
    else:
        outputs = package.Model(model.inputs, list(model.outputs))(given, training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for index, output in enumerate(outputs):
        arrays[f"output:{index}"] = np.asarray(output)
    if with_layers:
        named = {}
        for layer in model.layers:
            try:
                output = layer.output
            except (AttributeError, ValueError):
                continue
            if not isinstance(output, (list, tuple, dict)) and layer.name not in inputs:
                named[layer.name] = output
        values = package.Model(model.inputs, list(named.values()))(given, training=False)
        values = values if isinstance(values, (list, tuple)) else [values]
        for name, value in zip(named, values):
            arrays[f"layer:{name}"] = np.asarray(value)
    return arrays


def npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


def saved(model, form, folder):
    path = folder / f"saving.{form}"
    model.save(path)
    data = path.read_bytes()
    path.unlink()
    if form == "h5":
        return data
    # Dates and addresses in memory are not part of the model.
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "2026-11-29@00:00:00"}).encode()
            if info.filename == "config.json":
                content = numbered(content)
            target.writestr(zipfile.ZipInfo(info.filename), content)
    return out.getvalue()


def numbered(config):
    """A description whose shared objects have numbers in the order of their first places: Keras writes their addresses."""
    numbers = {}
    number = lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers))
    return re.sub(rb'"shared_object_id": (\d+)', number, config)


def write(out, name, build, formats, low, high):
    # For each name a stream of its own, so that a case can be made again alone.
    rng = np.random.default_rng(list(name.encode()))
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = build()
    if not model.built:
        raise ValueError("not built")
    draw(model, rng)
    arrays = sample_of(model, inputs_of(model, rng, low, high), with_layers=name.startswith(("functional", "u-net", "dense")))
    for form in formats:
        suffix = "" if form == formats[0] else f"-{form}"
        archive(out / f"{name}{suffix}.zip", {f"model.{form}": saved(model, form, out), "sample.npz": npz(arrays)})


def recipe(name, shape, seed):
    """From where to where an application's weight is drawn, so that activations keep their size."""
    if name in ("gamma", "moving_variance"):
        return 0.5, 1.5
    if name in ("beta", "bias", "moving_mean"):
        return -0.1, 0.1
    if name == "mean":
        return 0.0, 1.0
    if name == "variance":
        return 0.5, 1.0
    if "depthwise" in name:
        fan = int(np.prod(shape[:-2]))
    elif len(shape) < 2:
        fan = 6
    else:
        fan = int(np.prod(shape[:-1]))
    limit = float(np.sqrt(6.0 / fan))
    return -limit, limit


def write_application(out, name, build):
    import fixture

    keras.utils.clear_session(free_memory=False)
    model = build()
    recipes = {}
    for index, weight in enumerate(model.weights):
        # a variable of Keras, or of TensorFlow in Keras 2
        kind = (getattr(weight, "path", None) or weight.name).split("/")[-1].split(":")[0]
        if not getattr(weight.dtype, "name", weight.dtype).startswith("float"):
            continue
        seed = (index + 1) << 32
        # The bounds are f32, written as f64.
        low, high = (float(np.float32(bound)) for bound in recipe(kind, tuple(weight.shape), seed))
        value = fixture.uniform(seed, low, high, int(np.prod(weight.shape))).reshape(tuple(weight.shape))
        weight.assign(value)
        recipes[value.tobytes()] = f"uniform {seed} {low!r} {high!r}"
    shape = [1] + list(model.inputs[0].shape[1:])
    x = fixture.uniform(7, 0.0, 255.0, int(np.prod(shape))).reshape(shape)
    arrays = {"recipe": np.frombuffer(b"uniform 7 0.0 255.0", "uint8"), "shape": np.array(shape, "int64"), "output:0": np.asarray(model(x, training=False))}
    with zipfile.ZipFile(io.BytesIO(saved(model, "keras", out))) as source:
        members = {info.filename: source.read(info) for info in source.infolist()}
    weights = members["model.weights.h5"]
    places = []
    with h5py.File(io.BytesIO(weights), "r") as file:
        def visit(_, dataset):
            if isinstance(dataset, h5py.Dataset) and dataset.dtype == np.float32:
                value = dataset[()]
                if value.tobytes() not in recipes or dataset.id.get_offset() is None:
                    return
                offset = dataset.id.get_offset()
                places.append((offset, value.size, recipes[value.tobytes()]))
        file.visititems(visit)
    places.sort()
    kept, at = bytearray(), 0
    for offset, count, _ in places:
        kept += weights[at:offset]
        at = offset + 4 * count
    members["model.weights.h5"] = bytes(kept + weights[at:])
    inner = {f"model/{key}": value for key, value in members.items()}
    archive(out / f"application-{name}.zip", {**inner, "weights.json": json.dumps(places).encode(), "sample.npz": npz(arrays)})


def main():
    out, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    legacy()
    jobs = {name: lambda name=name, args=args: write(out, name, *args) for name, args in CASES.items()}
    jobs.update({f"application-{name}": lambda name=name, build=build: write_application(out, name, build) for name, build in applications().items()})
    for name, job in jobs.items():
        if wanted and not any(part in name for part in wanted):
            continue
        try:
            job()
            sizes = [path.stat().st_size for path in out.glob(f"{name}*.zip")]
            print(f"{name}: {sum(sizes)} bytes", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:400]}", flush=True)
            if "-v" in wanted:
                traceback.print_exc()
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.glob("*.zip"))]
    (out / "SHA256SUMS").write_text("".join(sums))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
