"""CLIP's tokenizer beside OpenAI's own, on captions and on texts made to be difficult.

    python scripts/tokenizer_parity.py REFERENCE CAPTIONS.tsv… [--transformers] [--golden FILE]

REFERENCE is OpenAI's `clip/simple_tokenizer.py`, which needs `ftfy` and `regex`; the wheel
`clip-anytorch` carries it unchanged. Captions are the last column of each table; half of them are
made difficult with a fixed seed: entities, emoji, wrongly decoded text, other scripts, combining
marks, control characters, odd punctuation, great length. `--transformers` compares the
CLIPTokenizer of that library too, and `--golden` writes the texts of the tests with OpenAI's ids.

Exits with 1 when a text has other ids than OpenAI's.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import json
import random
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

from model.byte_pairs import clip_tokenizer
from model.tokenizers import Tokenizer

CONTEXT_LENGTH = 77
TEXTS = 10_000
SAMPLES = (
    "a diagram",
    "A photo of a red car!!!",
    "wow!!!",
    "red_car",
    "I'm sure it's the dog's, they've said; we'll see what you'd do, THEY'RE right",
    "it\u2019s a \u201cquoted\u201d word \u2014 really\u2026",
    "3 dogs4cats 12345 1,000.50 2\u00bd m\u00b2 \u2167 \u0663\u0664",
    "line\nbreak\r\nand\ttab\x0band\x85more\u2028lines",
    "**bold** __under__ ~~struck~~ #tag @name http://a.example/x?y=1&z=2",
    "Tom &amp; Jerry &lt;b&gt; &amp;amp; &amp;amp;amp; &#39;x&#x27; &nbsp;&eacute; &bogus; &copy",
    "\u00e9 e\u0301 \u00c5 \u212b \ufb01 \uff21\uff22\uff23",
    "\u0130stanbul '\u017f \u1e9e \u03a3\u03c2 \u212a a\u0345b",
    "l\u00c3\u00a9gende mal d\u00c3\u00a9cod\u00c3\u00a9e \u00e2\u20ac\u201c schÃ¶n",
    "\u4e00\u53ea\u7ea2\u8272\u7684\u72d7\u5728\u6d77\u6ee9\u4e0a",
    "\u8d64\u3044\u8eca\u3068\u72ac\u3001\u30d3\u30fc\u30c1\u3067",
    "\ube68\uac04 \uc790\ub3d9\ucc28",
    "\u0633\u064a\u0627\u0631\u0629 \u062d\u0645\u0631\u0627\u0621 \u200f\u0639\u0644\u0649",
    "\u05db\u05dc\u05d1 \u05e2\u05dc \u05d4\u05d7\u05d5\u05e3",
    "\u0915\u0941\u0924\u094d\u0924\u093e \u0e2b\u0e21\u0e32\u0e2a\u0e35\u0e41\u0e14\u0e07",
    "\U0001f415 on the \U0001f3d6\ufe0f \u2764\ufe0f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 in \U0001f1e9\U0001f1ea",
    "zero\u200bwidth \u00adsoft \ufeffmark \u202eturned\u202c",
    "bell \x07 escape \x1b[31m null \x00 end",
    "\x1cfile\x1dgroup\x1erecord\x1funit",
    "<div class='x'>a dog</div>",
    "Zalgo t\u0335\u0321\u0337e\u0336x\u0334t\u0338",
    "word " * 100,
    "antidisestablishmentarianism" * 20,
    "\U0001f415" * 60,
    "a" * 2_000,
)
ODD = (
    *("&amp;", "&lt;3", "&amp;quot;", "&#128021;", "...", "!?!", "'S", "'ll", "_", "42nd"),
    *("\U0001f600", "\U0001f468\u200d\U0001f4bb", "\u00c3\u00a9", "e\u0301", "\u4e2d\u6587"),
    *("\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u05e9\u05dc\u05d5\u05dd", "\x00", "\x1f"),
    *("\u200d", "\u2028", "\u00bd", "\ufb03", "\uff01"),
)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("captions", type=Path, nargs="+")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--golden", type=Path)
    options = parser.parse_args()
    reference = openai_tokenizer(options.reference)
    ours = our_tokenizer()
    texts = difficult_texts(options.captions)
    different = report("OpenAI's SimpleTokenizer", texts, ours, reference)
    if options.transformers:
        report("transformers' CLIPTokenizer", texts, ours, transformers_tokenizer())
    if options.golden:
        golden = [{"text": text, "ids": reference(text)} for text in SAMPLES]
        options.golden.write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")
    sys.exit(1 if different else 0)


def difficult_texts(tables: list[Path]) -> list[str]:
    """The samples and distinct captions of the tables, every second of them altered."""
    captions = {
        line.rsplit("\t", 1)[-1]: None
        for table in tables
        for line in table.read_text(encoding="utf-8").splitlines()[1:]
    }
    dice = random.Random(5)
    chosen = dice.sample(list(captions), TEXTS - len(SAMPLES))
    return [*SAMPLES, *(_alter(c, dice) if i % 2 else c for i, c in enumerate(chosen))]


def _alter(caption: str, dice: random.Random) -> str:
    kind = dice.randrange(8)
    if kind == 0:
        return html.escape(html.escape(f"<i>{caption}</i> \"{caption}\" & 'co'"))
    if kind == 1:
        return " ".join([caption] * dice.randint(5, 40))
    if kind == 2:
        return caption.upper().replace(" ", dice.choice(["_", "\u3000", "\n", " \t ", "-", "*"]))
    if kind == 3:
        return f"{caption} \u201c\u00fcber caf\u00e9\u201d \u2013".encode().decode(
            "cp1252", "replace"
        )
    if kind == 4:
        return "".join(chr(_code_point(dice)) for _ in range(dice.randint(1, 60)))
    words = caption.split(" ")
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(len(words) + 1)
        words.insert(place, dice.choice(ODD))
    return dice.choice([" ", ""]).join(words)


def _code_point(dice: random.Random) -> int:
    """One that this Python's Unicode tables have: letters newer than a library's are none to it."""
    while True:
        start, stop = dice.choice([(0x20, 0x250), (0x250, 0x3000), (0x1F000, 0x1FA00)])
        code = dice.randrange(start, stop)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs"):
            return code


def report(
    name: str,
    texts: list[str],
    ours: Callable[[str], list[int]],
    theirs: Callable[[str], list[int]],
) -> int:
    """Print how many texts differ, and the first of them; gives how many."""
    different = [text for text in texts if ours(text) != theirs(text)]
    print(f"{name}: {len(texts) - len(different):,} of {len(texts):,} texts have equal ids")
    for text in different[:10]:
        print(f"  {text[:60]!r}\n    ours   {ours(text)[:16]}\n    theirs {theirs(text)[:16]}")
    return len(different)


def our_tokenizer() -> Callable[[str], list[int]]:
    """Text to ids at the paper's context length; a text without a character is only its ends."""
    from model.errors import EmptyText

    tokenizer = Tokenizer(clip_tokenizer(), CONTEXT_LENGTH)

    def ids(text: str) -> list[int]:
        try:
            return list(tokenizer([text])[0].ids)
        except EmptyText:
            return []

    return ids


def openai_tokenizer(path: Path) -> Callable[[str], list[int]]:
    """As `clip.tokenize(text, truncate=True)` of OpenAI's repository, without its padding."""
    specification = importlib.util.spec_from_file_location("simple_tokenizer", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer()
    start, end = tokenizer.encoder["<|startoftext|>"], tokenizer.encoder["<|endoftext|>"]

    def ids(text: str) -> list[int]:
        return [start, *tokenizer.encode(text)[: CONTEXT_LENGTH - 2], end]

    return ids


def transformers_tokenizer() -> Callable[[str], list[int]]:
    """CLIPTokenizer on the same vocabulary and merges, in the files a model's folder has."""
    from transformers import CLIPTokenizer

    model = json.loads(clip_tokenizer().definition)["model"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps(model["vocab"]), encoding="utf-8")
        lines = ("#version: 0.2", *(" ".join(pair) for pair in model["merges"]))
        merges.write_text("\n".join(lines) + "\n", encoding="utf-8")
        tokenizer = CLIPTokenizer.from_pretrained(folder)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, truncation=True, max_length=CONTEXT_LENGTH).input_ids
        return found

    return ids


if __name__ == "__main__":
    main()
