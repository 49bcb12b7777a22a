#!/usr/bin/env python3
"""Write the trained network as ONNX, in the layout of Hugging Face's exports of encoder-decoder models.

    python export.py                  # en-de/: weights of 8 bits
    python export.py --mode float --out work/float

The graphs are put together here, node by node, so that all three files share their tensors byte for byte (a chain
stores equal chunks once) and so that no operator is there that the network does not need.
"""

import argparse
import json
import math
import pathlib
import shutil

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from model import Config, sinusoids

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / "work"
B, S, T, P = "batch_size", "encoder_sequence_length", "decoder_sequence_length", "past_decoder_sequence_length"


class Graph:
    """A list of nodes and constants; each method adds an operator and returns the name of its result."""

    def __init__(self, weights, config, mode):
        self.weights, self.config, self.mode = weights, config, mode
        self.nodes, self.constants, self.inputs, self.outputs = [], {}, [], []
        self.bytes, self.shapes = {}, {}  # see rows() and shape()

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, name, array):
        self.constants.setdefault(name, np.asarray(array))
        return name

    def ints(self, *values):
        return self.constant("i_" + "_".join(str(v).replace("-", "m") for v in values), np.array(values, np.int64))

    def scalar(self, value):
        return self.constant(f"f_{value:g}", np.array(value, np.float32))

    def quantised(self, name, matrix):
        """The names of matrix f32[K, N] as i8[K, N] and of its scales f32[N]; symmetric, one scale a column."""
        scale = np.maximum(np.abs(matrix).max(axis=0), 1e-8).astype(np.float32) / np.float32(127)
        bytes_ = np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8)
        return self.constant(name + "_i8", bytes_), self.constant(name + "_scale", scale)

    def matmul(self, x, name, matrix, bias):
        """x f32[..., K] times matrix f32[K, N] plus bias f32[N]."""
        if self.mode == "float":
            y = self.op("MatMul", x, self.constant(name, matrix))
        elif self.mode == "weights":
            w, scale = self.quantised(name, matrix)
            y = self.op("MatMul", x, self.op("DequantizeLinear", w, scale, axis=1))
        else:
            w, scale = self.quantised(name, matrix)
            row, x_scale = self.rows(x, matrix.shape[0])
            y = self.op("Cast", self.op("MatMulInteger", row, w), to=TensorProto.FLOAT)
            y = self.op("Reshape", self.op("Mul", self.op("Mul", y, x_scale), scale), self.shape(x, matrix.shape[1]))
        return self.op("Add", y, self.constant(name + "_bias", bias))

    def rows(self, x, width):
        """x f32[..., K] as i8[R, K] and the scale of each row, f32[R, 1]; once for each x, whatever it is multiplied with.

        A row has a scale of its own, so that what comes out for one position depends on no other position and on no
        other sentence: the same bits with and without a cache and in every batch.
        """
        if x not in self.bytes:
            flat = self.op("Reshape", x, self.ints(-1, width))
            largest = self.op("ReduceMax", self.op("Abs", flat), self.ints(1), keepdims=0)
            scale = self.op("Mul", self.op("Max", largest, self.scalar(1e-6)), self.scalar(1 / 127))
            row = self.op("QuantizeLinear", flat, scale, axis=0, output_dtype=TensorProto.INT8)
            self.bytes[x] = row, self.op("Unsqueeze", scale, self.ints(1))
        return self.bytes[x]

    def shape(self, x, width):
        """The shape of x, [B, T, K], with another last dimension, for Reshape."""
        if x not in self.shapes:
            self.shapes[x] = self.op("Slice", self.op("Shape", x), self.ints(0), self.ints(2))
        return self.op("Concat", self.shapes[x], self.ints(width), axis=0)

    def linear(self, x, name):
        return self.matmul(x, name, self.weights[name + ".weight"].T.copy(), self.weights[name + ".bias"])

    def norm(self, x, name):
        gain, bias = (self.constant(f"{name}.{part}", self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=1e-5)

    def split(self, x):
        """[B, T, D] to [B, H, T, D / H]."""
        c = self.config
        x = self.op("Reshape", x, self.ints(0, 0, c.heads, c.d_model // c.heads))
        return self.op("Transpose", x, perm=[0, 2, 1, 3])

    def keys_values(self, x, name):
        return self.split(self.linear(x, name + ".k")), self.split(self.linear(x, name + ".v"))

    def attention(self, x, name, k, v, mask):
        q = self.op("Mul", self.split(self.linear(x, name + ".q")),
                    self.scalar(1 / math.sqrt(self.config.d_model // self.config.heads)))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        if mask is not None:
            scores = self.op("Add", scores, mask)
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.ints(0, 0, self.config.d_model))
        return self.linear(y, name + ".out")

    def ffn(self, x, name):
        return self.linear(self.op("Relu", self.linear(x, name + ".up")), name + ".down")

    def embed(self, ids, table, start=None, columns=False):
        """Rows of the table times sqrt(D), plus positions from `start` (i64[1]) on.

        With `columns` the table is kept as [D, V], the form in which the output layer multiplies with it, so that one
        tensor serves both; Gather takes columns and Transpose turns them into rows.
        """
        root, name = self.scalar(math.sqrt(self.config.d_model)), table + ".weight"
        matrix = self.weights[name]
        if self.mode == "float":
            kept, scale = self.constant(table, matrix.T.copy() if columns else matrix), None
        else:
            kept, scale = self.quantised(table, matrix.T.copy())
            if not columns:
                kept = self.constant(table + "_rows_i8", self.constants[kept].T.copy())
        x = self.op("Gather", kept, ids, axis=1 if columns else 0)
        if columns:  # [D, B, T]
            x = self.op("Transpose", x, perm=[1, 2, 0])
        if scale is None:
            x = self.op("Mul", x, root)
        else:
            scale = self.op("Unsqueeze", self.op("Mul", self.op("Gather", scale, ids, axis=0), root), self.ints(-1))
            x = self.op("Mul", self.op("Cast", x, to=TensorProto.FLOAT), scale)
        length = self.op("Slice", self.op("Shape", ids), self.ints(1), self.ints(2))
        begin = self.ints(0) if start is None else start
        end = length if start is None else self.op("Add", start, length)
        positions = self.constant("positions", sinusoids(self.config.max_positions, self.config.d_model).numpy())
        return self.op("Add", x, self.op("Slice", positions, begin, end, self.ints(0)))

    def padding(self, mask):
        """i64[B, S] of ones and zeros to f32[B, 1, 1, S] of zeros and a large negative number."""
        x = self.op("Sub", self.scalar(1.0), self.op("Cast", mask, to=TensorProto.FLOAT))
        return self.op("Mul", self.op("Unsqueeze", x, self.ints(1, 2)), self.scalar(-1e9))

    def input(self, name, kind, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, result, name, *shape):
        self.nodes.append(helper.make_node("Identity", [result], [name], name=f"Identity_{len(self.nodes)}"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def save(self, name, path):
        used = {i for n in self.nodes for i in n.input}
        constants = [numpy_helper.from_array(a, n) for n, a in self.constants.items() if n in used]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10,
                                  producer_name="examples/translate")
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def encoder(g):
    ids = g.input("input_ids", TensorProto.INT64, B, S)
    mask = g.padding(g.input("attention_mask", TensorProto.INT64, B, S))
    x = g.embed(ids, "source_embedding")
    for i in range(g.config.encoder_layers):
        name = f"encoder.{i}"
        y = g.norm(x, name + ".norm1")
        x = g.op("Add", x, g.attention(y, name + ".attention", *g.keys_values(y, name + ".attention"), mask))
        x = g.op("Add", x, g.ffn(g.norm(x, name + ".norm2"), name + ".ffn"))
    g.output(g.norm(x, "encoder_norm"), "last_hidden_state", B, S, g.config.d_model)


def decoder(g, with_past):
    c = g.config
    kv = (c.heads, c.d_model // c.heads)
    mask = g.padding(g.input("encoder_attention_mask", TensorProto.INT64, B, S))
    ids = g.input("input_ids", TensorProto.INT64, B, 1 if with_past else T)
    past, cross = [], []
    if with_past:
        for i in range(c.decoder_layers):
            names = [f"past_key_values.{i}.{side}.{part}" for side in ("decoder", "encoder") for part in ("key", "value")]
            for name in names:
                g.input(name, TensorProto.FLOAT, B, kv[0], P if ".decoder." in name else S, kv[1])
            past.append(names[:2])
            cross.append(names[2:])
        start = g.op("Slice", g.op("Shape", past[0][0]), g.ints(2), g.ints(3))
        x, causal = g.embed(ids, "embedding", start, columns=True), None
    else:
        memory = g.input("encoder_hidden_states", TensorProto.FLOAT, B, S, c.d_model)
        x = g.embed(ids, "embedding", columns=True)
        cross = [g.keys_values(memory, f"decoder.{i}.cross") for i in range(c.decoder_layers)]
        length = g.op("Squeeze", g.op("Slice", g.op("Shape", ids), g.ints(1), g.ints(2)))
        zero, one = g.constant("zero", np.array(0, np.int64)), g.constant("one", np.array(1, np.int64))
        steps = g.op("Range", zero, length, one)
        later = g.op("Less", g.op("Unsqueeze", steps, g.ints(1)), g.op("Unsqueeze", steps, g.ints(0)))
        causal = g.op("Where", later, g.scalar(-1e9), g.scalar(0.0))
    present = []
    for i in range(c.decoder_layers):
        name = f"decoder.{i}"
        y = g.norm(x, name + ".norm1")
        k, v = g.keys_values(y, name + ".self_attention")
        if with_past:
            k, v = (g.op("Concat", old, new, axis=2) for old, new in zip(past[i], (k, v)))
        present.append((k, v))
        x = g.op("Add", x, g.attention(y, name + ".self_attention", k, v, causal))
        x = g.op("Add", x, g.attention(g.norm(x, name + ".norm2"), name + ".cross", *cross[i], mask))
        x = g.op("Add", x, g.ffn(g.norm(x, name + ".norm3"), name + ".ffn"))
    hidden = g.norm(x, "decoder_norm")
    logits = g.matmul(hidden, "embedding", g.weights["embedding.weight"].T.copy(), g.weights["bias"])
    g.output(logits, "logits", B, 1 if with_past else T, c.vocab_size)
    for i, (k, v) in enumerate(present):
        length = f"{P} + 1" if with_past else T
        g.output(k, f"present.{i}.decoder.key", B, kv[0], length, kv[1])
        g.output(v, f"present.{i}.decoder.value", B, kv[0], length, kv[1])
        if not with_past:
            g.output(cross[i][0], f"present.{i}.encoder.key", B, kv[0], S, kv[1])
            g.output(cross[i][1], f"present.{i}.encoder.value", B, kv[0], S, kv[1])


def settings(config):
    """config.json and generation_config.json, with the field names of Hugging Face."""
    tokens = {"bos_token_id": config.eos, "eos_token_id": config.eos, "pad_token_id": config.pad,
              "decoder_start_token_id": config.pad, "forced_eos_token_id": config.eos}
    model = {"model_type": "marian", "architectures": ["MarianMTModel"], "is_encoder_decoder": True,
             "source_lang": "en", "target_lang": "de", "vocab_size": config.vocab_size, "d_model": config.d_model,
             "encoder_layers": config.encoder_layers, "decoder_layers": config.decoder_layers,
             "num_hidden_layers": config.encoder_layers, "encoder_attention_heads": config.heads,
             "decoder_attention_heads": config.heads, "encoder_ffn_dim": config.ffn_dim,
             "decoder_ffn_dim": config.ffn_dim, "activation_function": "relu", "normalize_before": True,
             "scale_embedding": True, "static_position_embeddings": True, "share_encoder_decoder_embeddings": False,
             "tie_word_embeddings": True, "max_position_embeddings": config.max_positions, "use_cache": True, **tokens}
    generation = {**tokens, "bad_words_ids": [[config.pad]], "max_length": 96, "num_beams": 1,
                  "no_repeat_ngram_size": 3}
    return model, generation


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["int8", "weights", "float"], default="int8",
                        help="integers of 8 bits; 8-bit weights made floats when they are used; floats")
    parser.add_argument("--model", type=pathlib.Path, default=WORK / "model.pt")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "en-de")
    args = parser.parse_args()
    state = torch.load(args.model)
    config = Config(**state["config"])
    weights = {n: t.float().numpy() for n, t in state["model"].items()}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, build in (("encoder_model", encoder), ("decoder_model", lambda g: decoder(g, False)),
                        ("decoder_with_past_model", lambda g: decoder(g, True))):
        graph = Graph(weights, config, args.mode)
        build(graph)
        graph.save(name, args.out / f"{name}.onnx")
    for name, value in zip(("config.json", "generation_config.json"), settings(config)):
        (args.out / name).write_text(json.dumps(value, indent=2) + "\n")
    shutil.copy(WORK / "tokenizer.json", args.out / "tokenizer.json")
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>",
                        "pad_token": "<pad>", "model_max_length": config.max_positions, "source_lang": "en",
                        "target_lang": "de"}
    (args.out / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
    total = sum(f.stat().st_size for f in args.out.iterdir())
    for f in sorted(args.out.iterdir()):
        print(f"{f.stat().st_size:10}  {f.name}")
    print(f"{total:10}  in total")


if __name__ == "__main__":
    main()
