"""Pipelines in the layout of Hugging Face's exports, with random weights, and what transformers makes of texts with them.

    python generate.py              writes the fixtures; `merge.py` then merges decoders
    python generate.py bench FOLDER writes a larger one in the layout of `marian`, with its weights, for `--example generate`

A fixture: the graphs as `torch.onnx` exports them under the names that Optimum gives to files, inputs and outputs,
`config.json`, `generation_config.json`, `tokenizer.json`, and `expected.json`: for some texts the ids that `generate` gives, greedily and
with beams. The weights are recipes, as in ../exports/fixture.py: external data whose location says how to make it.

`marian` is an encoder and decoder in the layout of the opus-mt models, `gpt2` a decoder alone. `bert` and `distilbert` classify texts, with
several labels and with one: `expected.json` has what transformers' pipeline says. `minilm` and `roberta` make vectors, the mean of all
tokens as sentence-transformers exports it and the pooler's.
"""

import hashlib
import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from transformers import (
    BertConfig, BertForSequenceClassification, BertModel, DistilBertConfig, DistilBertForSequenceClassification, GPT2Config, GPT2LMHeadModel,
    GenerationConfig, MarianConfig, MarianMTModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel, TextClassificationPipeline,
)
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exports"))
from fixture import LARGE, strip, uniform  # noqa: E402

warnings.filterwarnings("ignore")
torch.manual_seed(0)

TEXTS = [
    "", "a", "The apples are good.", "Die Äpfel sind gut.", "Ein Vertrag über 1,000 apples!", "日本語のテキスト", "it's 3.14159 😀",
    "x" * 120, "A tender is posted in English, and stored with its German text; the event carries both of them.",
]


def fill(model, limits):
    """Weights by recipe; what `limits` says of a name's end is how far they go from 0."""
    recipes = {}
    for index, (name, parameter) in enumerate(sorted(model.state_dict().items())):
        if "embed_positions" in name or "attn.bias" in name or "masked_bias" in name or not parameter.is_floating_point():
            continue
        limit = next(value for end, value in limits if name.endswith(end))
        low, high = limit if isinstance(limit, tuple) else (-limit, limit)
        seed = (index + 1) << 32
        data = uniform(seed, low, high, parameter.numel())
        parameter.copy_(torch.from_numpy(data.reshape(parameter.shape)))
        recipes[data.tobytes()] = f"uniform {seed} {float(np.float32(low))!r} {float(np.float32(high))!r}"
    model.tie_weights()
    return recipes


def export(folder, name, module, arguments, inputs, outputs, axes, recipes):
    path = folder / name
    torch.onnx.export(
        module, arguments, str(path), input_names=inputs, output_names=outputs, dynamic_axes=axes, opset_version=17,
        do_constant_folding=False, dynamo=False,
    )
    model = onnx.load(path)
    strip(model)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        recipe = recipes.get(array.tobytes()) if array.size >= LARGE else None
        if recipe is None:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=recipe)
        tensor.external_data.add(key="length", value=str(array.nbytes))
    path.write_bytes(model.SerializeToString())
    assert not recipes or path.stat().st_size < 200_000, (path, path.stat().st_size)


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder = model.get_encoder()

    def forward(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(torch.nn.Module):
    """The decoder of an encoder and decoder; `past` are key and value of its own tokens and of the encoder's, for each layer."""

    def __init__(self, model, layers):
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, encoder_attention_mask, input_ids, encoder_hidden_states=None, *past):
        own, cross = DynamicCache(), DynamicCache()
        for layer in range(self.layers if past else 0):
            own.update(past[4 * layer], past[4 * layer + 1], layer)
            cross.update(past[4 * layer + 2], past[4 * layer + 3], layer)
        cache = EncoderDecoderCache(own, cross)
        if past:
            cache.is_updated = {layer: True for layer in range(self.layers)}
        out = self.model.model.decoder(
            input_ids=input_ids, encoder_hidden_states=encoder_hidden_states, encoder_attention_mask=encoder_attention_mask,
            past_key_values=cache, use_cache=True,
        )
        logits = self.model.lm_head(out.last_hidden_state) + self.model.final_logits_bias
        result = [logits]
        for layer in range(self.layers):
            result += [cache.self_attention_cache.layers[layer].keys, cache.self_attention_cache.layers[layer].values]
            if not past:
                result += [cache.cross_attention_cache.layers[layer].keys, cache.cross_attention_cache.layers[layer].values]
        return tuple(result)


class DecoderWithPast(Decoder):
    def forward(self, encoder_attention_mask, input_ids, *past):
        # its values are not looked at, since the keys of the encoder's tokens are there
        hidden = torch.zeros(input_ids.shape[0], encoder_attention_mask.shape[1], self.model.config.d_model)
        return super().forward(encoder_attention_mask, input_ids, hidden, *past)


def marian(folder, layers=2, width=32, heads=4, vocabulary=None, positions=64, bench=False):
    tokenizer = json.loads((HERE.parent / "text/tokenizers/unigram.json").read_text())
    vocabulary = vocabulary or len(tokenizer["model"]["vocab"])
    config = MarianConfig(
        vocab_size=vocabulary + 1, d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=(4 if bench else 2) * width, decoder_ffn_dim=(4 if bench else 2) * width,
        max_position_embeddings=positions, scale_embedding=True,
        activation_function="swish", pad_token_id=vocabulary, eos_token_id=1, bos_token_id=1, decoder_start_token_id=vocabulary,
        forced_eos_token_id=1, attn_implementation="eager", num_beams=4,
    )
    model = MarianMTModel(config).eval()
    limits = [
        ("layer_norm.weight", (0.5, 1.5)), ("layernorm_embedding.weight", (0.5, 1.5)), ("final_logits_bias", 1.5), ("shared.weight", 0.25),
        ("embed_tokens.weight", 0.25), ("lm_head.weight", 0.25), ("bias", 0.1), ("weight", 0.4),
    ]
    with torch.no_grad():
        recipes = fill(model, limits)
        if bench:
            recipes = {}
        # some sentences end
        model.final_logits_bias[0, 1] += -9 if bench else 3.7
    ids, mask = torch.tensor([[5, 6, 7, 1]]), torch.ones(1, 4, dtype=torch.long)
    batch, source, past = {0: "batch_size"}, {0: "batch_size", 1: "encoder_sequence_length"}, "past_decoder_sequence_length"
    with torch.no_grad():
        hidden = Encoder(model)(ids, mask)
        export(
            folder, "encoder_model.onnx", Encoder(model), (ids, mask), ["input_ids", "attention_mask"], ["last_hidden_state"],
            {"input_ids": source, "attention_mask": source, "last_hidden_state": source}, recipes,
        )
        names = [f"{layer}.{part}.{kind}" for layer in range(layers) for part in ("decoder", "encoder") for kind in ("key", "value")]
        start = torch.tensor([[vocabulary]])
        decoder = Decoder(model, layers)
        first = decoder(mask, start, hidden)
        decoded = {0: "batch_size", 1: "decoder_sequence_length"}
        export(
            folder, "decoder_model.onnx", decoder, (mask, start, hidden),
            ["encoder_attention_mask", "input_ids", "encoder_hidden_states"], ["logits", *(f"present.{name}" for name in names)],
            {
                "encoder_attention_mask": source, "input_ids": decoded, "encoder_hidden_states": source, "logits": decoded,
                **{f"present.{n}": {0: "batch_size", 2: "decoder_sequence_length" if ".decoder." in n else "encoder_sequence_length"} for n in names},
            },
            recipes,
        )
        own = [name for name in names if ".decoder." in name]
        # the second call, so that the past is longer than the new token
        pasts = list(first[1:])
        for index in range(0, len(pasts), 4):
            pasts[index], pasts[index + 1] = pasts[index].repeat(1, 1, 3, 1), pasts[index + 1].repeat(1, 1, 3, 1)
        export(
            folder, "decoder_with_past_model.onnx", DecoderWithPast(model, layers), (mask, start, *pasts),
            ["encoder_attention_mask", "input_ids", *(f"past_key_values.{name}" for name in names)],
            ["logits", *(f"present.{name}" for name in own)],
            {
                "encoder_attention_mask": source, "input_ids": batch, "logits": batch,
                **{f"past_key_values.{n}": {0: "batch_size", 2: past if ".decoder." in n else "encoder_sequence_length"} for n in names},
                **{f"present.{n}": {0: "batch_size", 2: f"{past} + 1"} for n in own},
            },
            recipes,
        )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    generation = {
        "_from_model_config": True, "bad_words_ids": [[vocabulary]], "bos_token_id": 1, "decoder_start_token_id": vocabulary,
        "eos_token_id": 1, "forced_eos_token_id": 1, "max_length": positions if bench else 24, "num_beams": 4, "pad_token_id": vocabulary,
        "renormalize_logits": True, "transformers_version": "5.24.0",
    }
    finish(folder, model, generation, bench)


class Gpt2(torch.nn.Module):
    def __init__(self, model, layers):
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, input_ids, attention_mask, *past):
        cache = DynamicCache()
        for layer in range(self.layers if past else 0):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        positions = attention_mask.cumsum(-1) - 1
        positions = positions[:, -input_ids.shape[1] :]
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        result = [out.logits]
        for layer in range(self.layers):
            result += [cache.layers[layer].keys, cache.layers[layer].values]
        return tuple(result)


def gpt2(folder):
    tokenizer = json.loads((HERE.parent / "text/tokenizers/byte-level.json").read_text())
    vocabulary, layers = len(tokenizer["model"]["vocab"]), 2
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=96, n_embd=32, n_layer=layers, n_head=4, bos_token_id=0, eos_token_id=0,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).eval()
    limits = [
        ("ln_1.weight", (0.5, 1.5)), ("ln_2.weight", (0.5, 1.5)), ("ln_f.weight", (0.5, 1.5)), ("wte.weight", 0.3),
        ("lm_head.weight", 0.3), ("wpe.weight", 0.3), ("bias", 0.1), ("weight", 0.4),
    ]
    with torch.no_grad():
        recipes = fill(model, limits)
    ids, mask = torch.tensor([[5, 6, 7, 8, 9]]), torch.ones(1, 5, dtype=torch.long)
    names = [f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
    both = {0: "batch_size", 1: "sequence_length"}
    with torch.no_grad():
        first = Gpt2(model, layers)(ids, mask)
        export(
            folder, "decoder_model.onnx", Gpt2(model, layers), (ids, mask), ["input_ids", "attention_mask"],
            ["logits", *(f"present.{name}" for name in names)],
            {
                "input_ids": both, "attention_mask": both, "logits": both,
                **{f"present.{name}": {0: "batch_size", 2: "sequence_length"} for name in names},
            },
            recipes,
        )
        longer = torch.ones(1, 6, dtype=torch.long)
        export(
            folder, "decoder_with_past_model.onnx", Gpt2(model, layers), (ids[:, :1], longer, *first[1:]),
            ["input_ids", "attention_mask", *(f"past_key_values.{name}" for name in names)],
            ["logits", *(f"present.{name}" for name in names)],
            {
                "input_ids": {0: "batch_size"}, "attention_mask": {0: "batch_size", 1: "total_sequence_length"}, "logits": {0: "batch_size"},
                **{f"past_key_values.{name}": {0: "batch_size", 2: "past_sequence_length"} for name in names},
                **{f"present.{name}": {0: "batch_size", 2: "total_sequence_length"} for name in names},
            },
            recipes,
        )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    generation = {"bos_token_id": 0, "eos_token_id": 0, "max_new_tokens": 16, "transformers_version": "5.24.0"}
    finish(folder, model, generation)


# Weights of encoders.
OF_ENCODERS = [
    ("LayerNorm.weight", (0.5, 1.5)), ("layer_norm.weight", (0.5, 1.5)), ("embeddings.weight", 0.5), ("bias", 0.2),
    ("classifier.weight", 1.0), ("weight", 0.9),
]


class Ports(torch.nn.Module):
    """A model whose inputs have an order; `of` takes what is wanted of its answer, its inputs by name."""

    def __init__(self, model, names, of):
        super().__init__()
        self.model, self.names, self.of = model, names, of

    def forward(self, *values):
        inputs = dict(zip(self.names, values))
        return self.of(self.model(**inputs), inputs)


def encoder(folder, model, tokenizer, names, outputs, of, answer):
    """A network that reads a text at once: exported, and what `answer` says of each text."""
    model = model.eval()
    with torch.no_grad():
        recipes = fill(model, OF_ENCODERS)
    values = {"input_ids": torch.tensor([[5, 6, 7, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    values["token_type_ids"] = torch.zeros(1, 4, dtype=torch.long)
    axes = {0: "batch_size", 1: "sequence_length"}
    with torch.no_grad():
        export(
            folder, "model.onnx", Ports(model, names, of), tuple(values[name] for name in names), names, outputs,
            {**{name: axes for name in names}, **{name: axes if name == "last_hidden_state" else {0: "batch_size"} for name in outputs}},
            recipes,
        )
    model.eval()
    shutil.copy(HERE.parent / "text/tokenizers" / tokenizer, folder / "tokenizer.json")
    config = model.config.to_dict()
    kept = ("model_type", "vocab_size", "max_position_embeddings", "num_hidden_layers", "id2label", "problem_type")
    config = {key: config[key] for key in kept if config.get(key) is not None}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    read = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_input_names=names)
    answers = []
    for text in TEXTS:
        inputs = read(text, return_tensors="pt")
        if not 0 < inputs["input_ids"].shape[1] <= 120:
            answers.append(None)
            continue
        with torch.no_grad():
            answers.append({"input": inputs["input_ids"][0].tolist(), **answer(model, read, text, inputs)})
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, "answers": answers}, ensure_ascii=False, indent=1) + "\n")
    print(folder.name, [answer and answer.get("label") for answer in answers])


def label(model, read, text, inputs):
    logits = model(**inputs).logits[0]
    answer = TextClassificationPipeline(model=model, tokenizer=read, device="cpu")(text)
    return {"logits": logits.tolist(), **answer[0]}


def bert(folder):
    labels = ["order", "complaint", "praise", "question", "other"]
    config = BertConfig(
        vocab_size=1_500, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=128,
        id2label=dict(enumerate(labels)), label2id={name: id for id, name in enumerate(labels)}, attn_implementation="eager",
    )
    names = ["input_ids", "attention_mask", "token_type_ids"]
    encoder(folder, BertForSequenceClassification(config), "word-piece.json", names, ["logits"], lambda out, _: out.logits, label)


def distilbert(folder):
    config = DistilBertConfig(
        vocab_size=1_500, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=128, num_labels=1,
        attn_implementation="eager",
    )
    names = ["input_ids", "attention_mask"]
    model = DistilBertForSequenceClassification(config)
    encoder(folder, model, "word-piece.json", names, ["logits"], lambda out, _: out.logits, label)


def minilm(folder):
    config = BertConfig(
        vocab_size=1_500, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=96, max_position_embeddings=128,
        attn_implementation="eager",
    )

    def mean(out, inputs):
        # as sentence-transformers' modules Pooling and Normalize
        mask = inputs["attention_mask"].unsqueeze(-1).expand(out.last_hidden_state.size()).float()
        pooled = torch.sum(out.last_hidden_state * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)
        return out.last_hidden_state, torch.nn.functional.normalize(pooled, p=2, dim=1)

    names = ["input_ids", "attention_mask", "token_type_ids"]
    encoder(
        folder, BertModel(config, add_pooling_layer=False), "word-piece.json", names, ["last_hidden_state", "sentence_embedding"], mean,
        lambda model, read, text, inputs: {"vector": mean(model(**inputs), inputs)[1][0].tolist()},
    )


def roberta(folder):
    config = RobertaConfig(
        vocab_size=1_500, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=130,
        type_vocab_size=1, pad_token_id=1, attn_implementation="eager",
    )
    encoder(
        folder, RobertaModel(config), "byte-level.json", ["input_ids", "attention_mask"], ["last_hidden_state", "pooler_output"],
        lambda out, _: (out.last_hidden_state, out.pooler_output),
        lambda model, read, text, inputs: {"vector": model(**inputs).pooler_output[0].tolist()},
    )


# Rules beside those of the folder's file.
RULES = {
    "greedy": {"num_beams": 1},
    "beams": {"num_beams": 4},
    "early": {"num_beams": 3, "early_stopping": True, "length_penalty": 0.6},
    "never": {"num_beams": 3, "early_stopping": "never", "length_penalty": 2.0},
    "restricted": {"num_beams": 2, "min_length": 8, "no_repeat_ngram_size": 2, "suppress_tokens": [100, 200, 300, 7], "bad_words_ids": [[11, 12], [40]]},
    "short": {"num_beams": 4, "max_length": 5},
}


def finish(folder, model, generation, bench=False):
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    config = model.config.to_dict()
    # what a reader needs of it
    kept = (
        "model_type", "is_encoder_decoder", "vocab_size", "max_position_embeddings", "n_positions", "num_hidden_layers", "eos_token_id",
        "pad_token_id", "decoder_start_token_id", "architectures",
    )
    config = {key: config[key] for key in kept if config.get(key) is not None}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if bench:
        return
    # the export leaves everything in training, with dropout
    model.eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    expected = {}
    for name, rule in RULES.items():
        rule = {**generation, **rule}
        if "max_length" in RULES[name]:
            rule.pop("max_new_tokens", None)
        answers = []
        for text in TEXTS:
            ids = tokenizer(text)["input_ids"]
            if not ids or (not model.config.is_encoder_decoder and len(ids) >= 70):
                answers.append(None)
                continue
            if name == "short" and not model.config.is_encoder_decoder:
                answers.append(None)
                continue
            ids = ids[:64]
            config = GenerationConfig(**{key: value for key, value in rule.items() if key not in ("_from_model_config", "transformers_version")})
            if config.pad_token_id is None:
                config.pad_token_id = 0
            model.generation_config = config
            with torch.no_grad():
                out = model.generate(
                    torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                    output_scores=True, return_dict_in_generate=True,
                )
            sequence = out.sequences[0].tolist()
            prompt = 1 if model.config.is_encoder_decoder else len(ids)
            score = out.sequences_scores[0].item() if out.get("sequences_scores") is not None else None
            answers.append({"input": ids, "ids": sequence[prompt:], "score": score, "text": tokenizer.decode(sequence, skip_special_tokens=True)})
        expected[name] = answers
        print(folder.name, name, [len(answer["ids"]) if answer else None for answer in answers])
    own = {name: {key: value for key, value in rule.items()} for name, rule in RULES.items()}
    result = {"texts": TEXTS, "rules": own, "answers": expected}
    (folder / "expected.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["bench"]:
        out = pathlib.Path(sys.argv[2])
        out.mkdir(parents=True)
        marian(out, layers=3, width=256, vocabulary=8_000, positions=128, bench=True)
    else:
        for make in (marian, gpt2, bert, distilbert, minilm, roberta):
            name = make.__name__
            if not sys.argv[1:] or name in sys.argv[1:]:
                shutil.rmtree(HERE / name, ignore_errors=True)
                (HERE / name).mkdir()
                make(HERE / name)
