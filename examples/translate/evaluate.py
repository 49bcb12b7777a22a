#!/usr/bin/env python3
"""chrF and BLEU (sacrebleu) of the exported networks and of a word-for-word dictionary, and the page of samples.

    python evaluate.py                    # writes score.json and samples.md
"""

import argparse
import collections
import json
import pathlib
import re

import sacrebleu

from lexicon import expected_counts
from translate import Pipeline

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / "work"


def rows(split):
    return [line.split("\t") for line in (WORK / f"{split}.tsv").read_text(encoding="utf8").splitlines()]


class Dictionary:
    """Word for word: of Ding's translations of an English word the one most frequent in the German training text."""

    def __init__(self):
        train = rows("train")
        frequency = collections.Counter(w for r in train if r[1] not in ("word", "template")
                                        for w in re.findall(r"\w+", r[3]))
        found = collections.defaultdict(set)
        from data import SOURCES, normalise, read_ding  # the whole dictionary, not what training kept of it

        ding = next(s for s in SOURCES if s["reader"] == "ding")["package"]
        for kind, english, german in read_ding(WORK / "tree" / ding):
            english, german = normalise(english).removeprefix("to "), normalise(german)
            if kind == "word" and " " not in english and " " not in german:
                found[english.lower()].add(german)
        for english, german in (("is", "ist"), ("are", "sind"), ("was", "war"), ("were", "waren"), ("has", "hat"),
                                ("had", "hatte"), ("them", "sie"), ("there", "da")):
            found[english] = {german}  # Ding has these only inside of phrases
        self.entries = {e: max(sorted(ds), key=lambda d: frequency[d]) for e, ds in found.items()}

    def word(self, word):
        low = word.lower()
        for form in (low, low.removesuffix("s"), low.removesuffix("es"), low.removesuffix("ed"), low.removesuffix("ing")):
            if form in self.entries:
                return self.entries[form]
        return word

    def __call__(self, sentences):
        result = []
        for sentence in sentences:
            line = re.sub(r"[A-Za-z][A-Za-z'-]*", lambda m: self.word(m[0]), sentence)
            result.append(line[:1].upper() + line[1:])
        return result


class WordByWord:
    """Word for word again, but with the German word that IBM Model 1 found most probable in the same training pairs."""

    def __init__(self):
        train = [r for r in rows("train") if r[1] != "template"]
        split = lambda text: re.findall(r"[A-Za-zÀ-ž][A-Za-zÀ-ž'-]*", text)
        words = {}
        number = lambda w: words.setdefault(w, len(words))
        pairs = [([number(w.lower()) for w in split(r[2])], [number(w) for w in split(r[3])]) for r in train]
        pairs = [(e, d) for e, d in pairs if e and d]
        source, target, count = expected_counts(pairs, [1.0] * len(pairs), len(words))
        names = list(words)
        best = {}
        for s, t, c in zip(source.tolist(), target.tolist(), count.tolist()):
            if c > best.get(names[s], ("", 0.0))[1]:
                best[names[s]] = names[t], c
        self.entries = {e: d for e, (d, _) in best.items()}

    def word(self, word):
        return self.entries.get(word.lower(), word)

    __call__ = Dictionary.__call__


def score(hypotheses, references):
    chrf, bleu = sacrebleu.CHRF(), sacrebleu.BLEU()
    result = {"chrF": round(chrf.corpus_score(hypotheses, [references]).score, 1),
              "BLEU": round(bleu.corpus_score(hypotheses, [references]).score, 1)}
    return result, str(chrf.get_signature()), str(bleu.get_signature())


def baselines(sentences):
    """What both baselines make of the sentences, kept in work/ since it does not change with the network."""
    cache = WORK / "baselines.json"
    if not cache.exists():
        systems = {"dictionary": Dictionary(), "word by word": WordByWord()}
        found = {name: dict(zip(sentences, system(sentences))) for name, system in systems.items()}
        cache.write_text(json.dumps(found, ensure_ascii=False, indent=0), encoding="utf8")
    return json.loads(cache.read_text(encoding="utf8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--int8", type=pathlib.Path, default=HERE / "en-de")
    parser.add_argument("--float", type=pathlib.Path, default=WORK / "float")
    parser.add_argument("--every", type=int, default=1, help="score only each Nth pair, for a quick look")
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--some", type=int, default=10, help="floats and beam search: only each Nth pair of a source")
    args = parser.parse_args()
    test = rows("test")[:: args.every]
    by_source = collections.defaultdict(list)
    for row in test:
        by_source[row[0]].append(row)
    pipelines = {"int8": Pipeline(args.int8), "float": Pipeline(args.float)}
    outputs = baselines([r[2] for r in rows("test")])
    outputs["int8"] = dict(zip((r[2] for r in test), pipelines["int8"]([r[2] for r in test])))
    report = {}
    for source, part in by_source.items():
        references = [r[3] for r in part]
        report[source] = {"pairs": len(part)}
        for name in ("dictionary", "word by word", "int8"):
            report[source][name], chrf, bleu = score([outputs[name][r[2]] for r in part], references)
        # floats and beam search take longer: a part of the sentences, and int8 on the same for comparison
        some = part[:: args.some]
        references, english = [r[3] for r in some], [r[2] for r in some]
        floats = pipelines["float"](english)
        beam = [pipelines["int8"].beam(e, args.beams) for e in english]
        report[source][f"every {args.some}th"] = {
            "pairs": len(some), "int8": score([outputs["int8"][e] for e in english], references)[0],
            "float": score(floats, references)[0], f"int8, {args.beams} beams": score(beam, references)[0],
            "same text in int8 and float": round(sum(outputs["int8"][e] == f for e, f in zip(english, floats)) / len(some), 3)}
        print(source, json.dumps(report[source]), flush=True)
    everyday = [line.split("\t") for line in (HERE / "everyday.txt").read_text(encoding="utf8").splitlines()]
    lines = pipelines["int8"]([e for e, _ in everyday])
    report = {"sources": report, "chrF": chrf, "BLEU": bleu}
    (HERE / "score.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf8")

    page = ["# Samples", "", "Nothing here is picked: the sentences of `everyday.txt`, written before training, and then every "
            "Nth of each part of the test split. Greedy decoding of the 8-bit network.", "", "## Everyday sentences", "",
            "| English | what comes out | what one would say |", "|---|---|---|"]
    cell = lambda text: text.replace("|", "\\|")
    page += [f"| {cell(e)} | {cell(o)} | {cell(d)} |" for (e, d), o in zip(everyday, lines)]
    for source, part in by_source.items():
        step = max(1, len(part) // 14)
        page += ["", f"## {source}, every {step}th of {len(part)}", "",
                 "| English | what comes out | word for word | reference |", "|---|---|---|---|"]
        page += [f"| {cell(r[2])} | {cell(outputs['int8'][r[2]])} | {cell(outputs['dictionary'][r[2]])} | {cell(r[3])} |"
                 for r in part[::step]]
    (HERE / "samples.md").write_text("\n".join(page) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
