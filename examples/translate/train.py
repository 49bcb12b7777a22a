#!/usr/bin/env python3
"""Train the tokenizer and the network on work/*.tsv.

    python train.py --minutes 75

A fixed seed; products in bfloat16 (`--float32` for none of it), which processors with AMX do several times faster. The
learning rate follows the clock and reaches zero when the time is up, so the result depends on how fast the machine is;
`log.jsonl` says what was reached. An interrupted run goes on from work/checkpoint.pt.
"""

import argparse
import collections
import dataclasses
import json
import math
import pathlib
import pickle
import random
import time

import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import lexicon
from model import Config, Translator

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / "work"
# How often a pair of each kind is seen in one pass, on average: everyday sentences more, single words less.
PASSES = {"sentence": 2.0, "dialogue": 1.0, "interface": 0.3, "phrase": 0.6, "word": 0.4, "template": 0.5}


def rows(split):
    return [line.split("\t") for line in (WORK / f"{split}.tsv").read_text(encoding="utf8").splitlines()]


def train_tokenizer(train, path, size):
    """A Unigram vocabulary of both languages; both sides of a pair end with </s>."""
    rng = random.Random(1)
    text = [r[side] for r in train for side in (2, 3) if r[1] != "word" or rng.random() < 0.15]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
                                                 normalizers.Strip()])
    marks = [pre_tokenizers.Split(mark, "isolated") for mark in '.,!?;:"()']
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), *marks,
                                                       pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.Metaspace()
    special = ["</s>", "<unk>", "<pad>"]
    tokenizer.train_from_iterator(text, trainers.UnigramTrainer(vocab_size=size, special_tokens=special,
                                                                unk_token="<unk>", max_piece_length=14))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A $B </s>",
                                                             special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    tokenizer.save(str(path))
    return tokenizer


def encode(tokenizer, pairs, longest):
    sources = tokenizer.encode_batch([r[2] for r in pairs])
    targets = tokenizer.encode_batch([r[3] for r in pairs])
    return [(r[1], s.ids, t.ids) for r, s, t in zip(pairs, sources, targets) if max(len(s), len(t)) <= longest]


def passes(data, rng, tokens):
    """Batches of about `tokens` padded target positions, of similar length, in random order, for ever.

    Gives sentences and the width to which both sides are padded, a multiple of 4 that goes with one number of sentences:
    products of few different shapes, since each new shape costs its making of a kernel.
    """
    waiting = collections.defaultdict(list)
    while True:
        pool = []
        for kind, s, t in data:
            times = PASSES[kind]
            times = int(times) + (rng.random() < times % 1)
            pool += [(s, t)] * times
        rng.shuffle(pool)
        for start in range(0, len(pool), 20_000):
            batches = []
            for p in pool[start : start + 20_000]:
                width = -(-max(len(p[0]), len(p[1])) // 4) * 4
                waiting[width].append(p)
                if len(waiting[width]) == max(tokens // width // 8, 1) * 8:
                    batches.append((waiting.pop(width), width))
            rng.shuffle(batches)
            yield from batches


def pad(sequences, value, width=0):
    width = max(width, max(map(len, sequences)))
    return torch.tensor([s + [value] * (width - len(s)) for s in sequences])


def loss_of(model, batch, smoothing, negatives=0, width=0):
    """Mean cross-entropy of a batch and its number of tokens.

    With `negatives` the softmax goes over the pieces that the batch contains and at least that many random others, whose
    logits are raised by what they stand for: an estimate of the full sum at a quarter of the arithmetic.
    """
    c = model.config
    source, target = pad([s for s, _ in batch], c.pad, width), pad([t for _, t in batch], c.pad, width)
    mask = (source != c.pad).long()
    shifted = torch.cat([torch.full((len(batch), 1), c.pad), target[:, :-1]], dim=1)
    hidden, _ = model.decode(shifted, model.cross_keys_values(model.encode(source, mask)), mask)
    hidden, target = hidden.flatten(0, 1), target.flatten()
    keep = target != c.pad
    if not negatives:
        logits = model.logits(hidden)
    else:
        present = torch.zeros(c.vocab_size, dtype=torch.bool)
        present[target[keep]] = True
        absent = (~present).nonzero()[:, 0]
        missing = -(present.sum().item() + negatives) % 512 + negatives  # few different numbers of pieces, too
        listed = present.clone()
        listed[absent[torch.randperm(len(absent))[:missing]]] = True
        ids = listed.nonzero()[:, 0]
        stands_for = math.log(len(absent) / max((listed & ~present).sum().item(), 1))
        bias = model.bias[ids] + torch.where(present[ids], 0.0, stands_for)
        logits, target = F.linear(hidden, model.embedding.weight[ids], bias), (listed.cumsum(0) - 1)[target]
    target = torch.where(keep, target, -100)
    return F.cross_entropy(logits, target, label_smoothing=smoothing), keep.sum().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--tokens", type=int, default=6000, help="target positions in a batch")
    parser.add_argument("--negatives", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=3e-3, help="of the matrices (Muon); Adam gets --adam-lr")
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="multiply floats of 32 bits rather than bfloat16")
    parser.add_argument("--until", help="stop at this UTC time, HH:MM, rather than after --minutes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    rng = random.Random(1)

    train = rows("train")
    path = WORK / "tokenizer.json"
    config = Config()
    tokenizer = Tokenizer.from_file(str(path)) if path.exists() else train_tokenizer(train, path, config.vocab_size)
    config.vocab_size = tokenizer.get_vocab_size()
    cache = WORK / "encoded.pickle"
    if cache.exists():
        data = pickle.loads(cache.read_bytes())
    else:
        data = encode(tokenizer, train, 48)
        cache.write_bytes(pickle.dumps(data))
    dev = [(s, t) for _, s, t in encode(tokenizer, rows("dev"), 64)]
    everyday = [line.split("\t")[0] for line in (HERE / "everyday.txt").read_text(encoding="utf8").splitlines()]
    model = Translator(config)
    if not (WORK / "checkpoint.pt").exists():
        pairs = [(s[:-1], t[:-1]) for _, s, t in data]
        source, target = lexicon.embeddings(pairs, [PASSES[k] + 0.3 for k, _, _ in data], config.vocab_size, config.d_model)
        model.source_embedding.weight.data = torch.from_numpy(source)
        model.embedding.weight.data = torch.from_numpy(target)
        print("lexicon done", flush=True)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embedding" not in n]
    chosen = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=args.lr, momentum=0.95, weight_decay=0.01, ns_steps=4,
                            adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0, fused=True)
    rates = [(muon, args.lr), (adam, args.adam_lr)]
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, {len(data)} pairs, {dataclasses.asdict(config)}", flush=True)

    budget, spent, step, seen = args.minutes * 60, 0.0, 0, 0
    checkpoint = WORK / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"]), adam.load_state_dict(state["adam"])
        spent, step, seen = state["spent"], state["step"], state["seen"]
        rng.seed(step)
    if args.until:
        hour, minute = map(int, args.until.split(":"))
        now = time.gmtime()
        budget = spent + (hour - now.tm_hour) * 3600 + (minute - now.tm_min) * 60 - now.tm_sec
    begin, log = time.time() - spent, open(WORK / "log.jsonl", "a")
    average, kept = None, 0
    recent = collections.deque(maxlen=100)
    next_report = spent + 60
    cpu = time.process_time()
    for batch, width in passes(data, rng, args.tokens):
        spent = time.time() - begin
        if spent >= budget:
            break
        part = spent / budget
        scale = min(1.0, (step + 1) / 100) * (1.0 if part < 0.3 else max(0.0, (1 - part) / 0.7))
        for optimizer, rate in rates:
            optimizer.param_groups[0]["lr"] = rate * scale
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not args.float32):
            loss, count = loss_of(model, batch, 0.05, args.negatives, width)
        for optimizer, _ in rates:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in rates:
            optimizer.step()
        step, seen = step + 1, seen + count
        recent.append(loss.item())
        if spent > budget * 0.9:  # the mean of the weights over the last tenth
            now = {n: p.detach().clone() for n, p in model.state_dict().items()}
            kept += 1
            average = now if average is None else {n: average[n] + (now[n] - average[n]) / kept for n in now}
        if spent >= next_report:
            next_report = spent + (60 if spent < 300 else 240)
            model.eval()
            with torch.no_grad():
                losses = [(loss_of(model, dev[i : i + 64], 0.0)) for i in range(0, len(dev), 64)]
            dev_loss = sum(l.item() * n for l, n in losses) / sum(n for _, n in losses)
            entry = {"minutes": round(spent / 60, 2), "cpu_minutes": round((time.process_time() - cpu) / 60, 2),
                     "step": step, "target_tokens": seen, "loss": round(sum(recent) / len(recent), 4),
                     "dev_loss": round(dev_loss, 4)}
            print(json.dumps(entry), file=log, flush=True)
            print(entry, flush=True)
            ids = [e.ids for e in tokenizer.encode_batch(everyday[:10])]
            source = pad(ids, config.pad)
            for line in tokenizer.decode_batch(model.greedy(source, (source != config.pad).long()).tolist()):
                print("   ", line, flush=True)
            model.train()
            torch.save({"model": model.state_dict(), "muon": muon.state_dict(), "adam": adam.state_dict(),
                        "spent": spent, "step": step, "seen": seen}, checkpoint)
    final = average or model.state_dict()
    torch.save({"config": dataclasses.asdict(config), "model": final}, WORK / "model.pt")
    print(json.dumps({"minutes": round(spent / 60, 2), "cpu_minutes": round((time.process_time() - cpu) / 60, 2),
                      "step": step, "target_tokens": seen, "averaged": kept}), file=log, flush=True)


if __name__ == "__main__":
    main()
