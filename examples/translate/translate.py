#!/usr/bin/env python3
"""Translate with an exported folder in ONNX Runtime, the loop written out in Python.

    python translate.py "The apples are good."          # one sentence an argument, or lines on standard input
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent


class Pipeline:
    """Tokenizer, encoder, decoder and rule of one folder."""

    def __init__(self, folder, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = lambda name: onnxruntime.InferenceSession(str(folder / name), options)
        self.encoder = session("encoder_model.onnx")
        self.decoder, self.next = session("decoder_model.onnx"), session("decoder_with_past_model.onnx")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.rule = json.loads((folder / "generation_config.json").read_text())
        self.first_names = [o.name for o in self.decoder.get_outputs()]
        self.next_names = [o.name for o in self.next.get_outputs()]

    def start(self, sentences):
        ids = [e.ids for e in self.tokenizer.encode_batch(sentences)]
        width = max(map(len, ids))
        pad = self.rule["pad_token_id"]
        source = np.array([i + [pad] * (width - len(i)) for i in ids], np.int64)
        mask = (source != pad).astype(np.int64)
        return mask, self.encoder.run(None, {"input_ids": source, "attention_mask": mask})[0]

    def step(self, tokens, mask, memory, past):
        """Scores of the next token f32[B, V], and the new past."""
        feed = {"input_ids": tokens, "encoder_attention_mask": mask}
        if past is None:
            out = dict(zip(self.first_names, self.decoder.run(None, feed | {"encoder_hidden_states": memory})))
            past = {}
        else:
            out = dict(zip(self.next_names, self.next.run(None, feed | past)))
        past = past | {n.replace("present", "past_key_values"): v for n, v in out.items() if n != "logits"}
        logits = out["logits"][:, -1]
        logits[:, [i for words in self.rule["bad_words_ids"] for i in words]] = -np.inf
        return logits, past

    def forbid_repeats(self, logits, sequences):
        """No run of `no_repeat_ngram_size` tokens stands twice in a sequence."""
        size = self.rule.get("no_repeat_ngram_size", 0)
        for row, sequence in zip(logits, sequences):
            if size and len(sequence) >= size - 1:
                last = sequence[len(sequence) - size + 1 :]
                for i in range(len(sequence) - size + 1):
                    if sequence[i : i + size - 1] == last:
                        row[sequence[i + size - 1]] = -np.inf

    def greedy(self, sentences):
        mask, memory = self.start(sentences)
        eos = self.rule["eos_token_id"]
        tokens = np.full((len(sentences), 1), self.rule["decoder_start_token_id"])
        sequences = [[self.rule["decoder_start_token_id"]] for _ in sentences]
        done, past = np.zeros(len(sentences), bool), None
        for _ in range(self.rule["max_length"] - 1):
            logits, past = self.step(tokens, mask, memory, past)
            self.forbid_repeats(logits, sequences)
            tokens = np.where(done, eos, logits.argmax(-1))[:, None]
            for sequence, token in zip(sequences, tokens[:, 0].tolist()):
                sequence.append(token)
            done |= tokens[:, 0] == eos
            if done.all():
                break
        return self.tokenizer.decode_batch(sequences)

    def beam(self, sentence, beams=4):
        """The best of `beams` hypotheses by mean log probability."""
        mask, memory = self.start([sentence])
        eos = self.rule["eos_token_id"]
        mask, memory = mask.repeat(beams, 0), memory.repeat(beams, 0)
        tokens = np.full((beams, 1), self.rule["decoder_start_token_id"])
        scores = np.array([0.0] + [-np.inf] * (beams - 1))
        sequences, finished, past = [[self.rule["decoder_start_token_id"]] for _ in range(beams)], [], None
        for length in range(1, self.rule["max_length"]):
            logits, past = self.step(tokens, mask, memory, past)
            self.forbid_repeats(logits, sequences)
            top = logits.max(-1, keepdims=True)
            total = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True)) + scores[:, None]
            best = np.argsort(-total, axis=None, kind="stable")[: 2 * beams]
            keep = []
            for flat in best:
                row, token = divmod(int(flat), logits.shape[1])
                if token == eos:
                    finished.append((total[row, token] / length, sequences[row]))
                elif len(keep) < beams:
                    keep.append((row, token, total[row, token]))
            rows = [k[0] for k in keep]
            sequences = [sequences[r] + [t] for r, t, _ in keep]
            tokens, scores = np.array([[k[1]] for k in keep]), np.array([k[2] for k in keep])
            past = {n: v[rows] for n, v in past.items()}
            if len(finished) >= beams and max(f[0] for f in finished) >= scores.max() / length:
                break
        finished = finished or [(0.0, sequences[0])]
        return self.tokenizer.decode(max(finished, key=lambda f: f[0])[1])

    def __call__(self, sentences, batch=32):
        """Greedy translations, in the order of the sentences; batches are of similar length."""
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        result = [""] * len(sentences)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            for i, line in zip(part, self.greedy([sentences[i] for i in part])):
                result[i] = line
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentence", nargs="*")
    parser.add_argument("--folder", type=pathlib.Path, default=HERE / "en-de")
    parser.add_argument("--beams", type=int, default=1)
    args = parser.parse_args()
    pipeline = Pipeline(args.folder)
    sentences = args.sentence or [line.strip() for line in sys.stdin]
    for line in pipeline(sentences) if args.beams == 1 else (pipeline.beam(s, args.beams) for s in sentences):
        print(line)


if __name__ == "__main__":
    main()
