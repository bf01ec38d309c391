"""Makes the small tokenizers of these tests, and what the tokenizers library (PyPI) does with tricky texts.

    python make_tokenizers.py [--out FOLDER] [--random N]

Each NAME.json is a tokenizer.json; NAME.expected.json has texts with their tokens, and tokens with their text.
"""

import argparse
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "A state has a fixed size. It's what the model remembers of the sound, and it doesn't grow.",
    "We'll play the guitar at 48000 Hz; they've heard 12345 notes, and I'm sure you'd like 678 more.",
    "Der Bär hört großen Lärm über dem Fluss. L'été, le garçon a mangé une crêpe à Noël.",
    "Маленький кот слушает музыку. 小さな猫が音楽を聞いている。 음악을 듣는 고양이.",
    "for (int i = 0; i < 10; ++i) {\n    total += values[i];\n\treturn total;\n}\n\n",
    "the the the and and sound sounds sounding model models remember remembers  two  spaces   three",
]
TEXTS = [
    "",
    " ",
    "Hello world",
    " Hello  world   ",
    "It's what they've said; I'M SURE you'll don't",
    "the sound\nof\r\n\r\nmodels\t\ttabs \n  x",
    "12345 numbers 1,234.5 and ½ ² Ⅷ ٣٤",
    "Der Bär hört großen Lärm",
    "cafe\u0301 caf\u00e9 \u212b \ufb01n \u1e9b\u0323",
    "小さな猫が音楽を 음악을 Маленький",
    "emoji 🎸🎹 👩‍👩‍👧‍👦 🇩🇪 and \U0001f3fd",
    "zero\u200bwidth nbsp\u00a0here \u3000wide \u2028 line",
    "\u0000\u0001 control \u007f\u0085",
    "<|end|>the model<|end|> sound <|begin|>",
    "the <mask> sound<mask>x  <mask>  y",
    "one word and wordy wordword word",
    "a\ufffdb \ufffe \U0010ffff",
    "▁already▁marked ▁ twice▁▁",
    "    four spaces     five\n\n\n    in code()",
    "<0x41> is not a byte",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ĠthisĊ uses the letters Ã© of bytes",
    "ſtrange ﬀ I'ſ 'S 'LL",
]
SPECIAL = [
    AddedToken("<|end|>", special=True, normalized=False),
    AddedToken("<|begin|>", special=True, normalized=False),
]
OTHERS = [
    AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("word", single_word=True, normalized=True),
    AddedToken("    ", normalized=False),
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LLAMA_DECODER = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]


def trained(tokenizer, vocab, first=()):
    byte_level = any(c == "Ġ" for c in pre_tokenizers.ByteLevel.alphabet()) and "ByteLevel" in str(
        tokenizer.pre_tokenizer
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    if isinstance(tokenizer.model, models.BPE):
        trainer = trainers.BpeTrainer(
            vocab_size=vocab, special_tokens=list(first), initial_alphabet=alphabet, show_progress=False
        )
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=vocab, special_tokens=list(first), unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def begins_with(tokenizer, token):
    pair = (token, tokenizer.token_to_id(token))
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[pair])


def neox():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, 400)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def gpt2_prefixed():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, 330)


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, 400)
    tokenizer.add_tokens(SPECIAL)
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), begins_with(tokenizer, "<|begin|>")]
    )
    return tokenizer


def digits():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex("[;,.]"), "merged_with_previous"),
            pre_tokenizers.Split("(", "merged_with_next"),
            pre_tokenizers.Split(Regex(r"[a-z]"), "contiguous"),
            pre_tokenizers.Split("x", "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, 330)


def bytes_pieces():
    return ["<unk>", "<s>"] + [f"<0x{byte:02X}>" for byte in range(256)]


def llama2():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(LLAMA_DECODER)
    trained(tokenizer, 560, bytes_pieces())
    tokenizer.post_processor = begins_with(tokenizer, "<s>")
    return tokenizer


def jamba():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(LLAMA_DECODER)
    return trained(tokenizer, 560, bytes_pieces())


def bpe_unknown():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = None
    return trained(tokenizer, 200, ["<unk>"])


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return trained(tokenizer, 300, ["<unk>"])


def unigram_bytes():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trained(tokenizer, 300, ["<unk>"])
    model = json.loads(tokenizer.to_str())["model"]
    vocab = [tuple(piece) for piece in model["vocab"]] + [(piece, -20.0) for piece in bytes_pieces()[2:]]
    tokenizer.model = models.Unigram(vocab, unk_id=0, byte_fallback=True)
    tokenizer.decoder = decoders.Sequence(LLAMA_DECODER)
    return tokenizer


def with_added_tokens(tokenizer):
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(OTHERS)
    # the trainer has made the bytes special, which real checkpoints do not
    fields = json.loads(tokenizer.to_str())
    fields["added_tokens"] = [token for token in fields["added_tokens"] if token["content"] not in bytes_pieces()[2:]]
    return Tokenizer.from_str(json.dumps(fields))


KINDS = [neox, gpt2_prefixed, llama3, digits, llama2, jamba, bpe_unknown, unigram, unigram_bytes]


def random_text(letters):
    return "".join(random.choice(letters) for _ in range(random.randint(1, 40)))


def expected(tokenizer, count):
    letters = list({c for text in CORPUS + TEXTS for c in text}) + [" "] * 20 + ["the", "word", "<mask>", "<|end|>"]
    texts = TEXTS + [random_text(letters) for _ in range(count)]
    encodings = [tokenizer.encode(text) for text in texts]
    plain = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    decoded = [tokenizer.decode(encoding.ids) for encoding in encodings]
    cases = [
        {"text": text, "ids": encoding.ids, "plain": bare.ids, "decoded": back}
        for text, encoding, bare, back in zip(texts, encodings, plain, decoded)
    ]
    # what a model may draw; runs of single bytes come out in another way from ByteFallback, see the test
    vocab = tokenizer.get_vocab_size()
    single = {tokenizer.token_to_id(piece) for piece in bytes_pieces()[2:]}
    usable = [token for token in range(vocab) if token not in single]
    drawn = [[random.choice(usable) for _ in range(12)] for _ in range(8 + count)]
    return {"texts": cases, "tokens": [{"ids": ids, "decoded": tokenizer.decode(ids)} for ids in drawn]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--random", type=int, default=0, help="so many random texts more")
    options = parser.parse_args()
    random.seed(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        tokenizer = with_added_tokens(kind())
        text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
        (options.out / f"{kind.__name__}.json").write_text(text + "\n")
        cases = json.dumps(expected(tokenizer, options.random), separators=(",", ":"))
        (options.out / f"{kind.__name__}.expected.json").write_text(cases + "\n")


if __name__ == "__main__":
    main()
