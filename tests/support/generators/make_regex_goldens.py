#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers/regexes.json: regular expressions and the pieces that `tokenizers` cuts by them.

    python3 tests/support/generators/make_regex_goldens.py

`published` are the pre-tokenizers of published models, `accepted` the constructs of Oniguruma's manual (doc/RE) that
engine/tokenizer/regex_syntax.h takes. Each comes with the SHA-256 of the pieces of N_TEXTS random texts, split with the
behaviour "isolated" and then "removed": every piece and a byte 255, another one behind each text. The texts are made of
`alphabet` by the same small generator that tests/engine/tokenizer/regex_golden_test.cc has. `refused` are those that are
refused, with what the message calls them and the byte.
"""
import hashlib
import json
import pathlib

from tokenizers import Regex, pre_tokenizers

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers" / "regexes.json"
N_TEXTS = 4000
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CJK = r"\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF"
PUBLISHED = {
    "gpt2, starcoder, phi, gpt-neox, olmo": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "r50k as tiktoken has it": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k, dbrx": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k as tiktoken has it": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k, phi-4-mini": "|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", SPACES]),
    "llama3": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "llama4": "|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"]),
    "qwen2, glm4": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "qwen3.5": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES,
    "chatglm4": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek-llm letters": r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ]+",
    "deepseek-llm signs": r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "deepseek-llm ends of lines": r"\s+$",
    "deepseek-llm cjk": r"[一-龥ࠀ-一가-퟿]+",
    "deepseek-llm numbers": r"\p{N}+",
    "deepseek-coder newlines": r"[\r\n]",
    "deepseek-coder letters": r"\s?\p{L}+",
    "deepseek-coder signs": r"\s?\p{P}+",
    "deepseek-v3 numbers": r"\p{N}{1,3}",
    "deepseek-v3 cjk": r"[一-龥぀-ゟ゠-ヿ]+",
    "deepseek-v3": "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
                   "\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    "falcon digits": r"[0-9][0-9][0-9]",
    "falcon signs": r"[\p{P}\$\+<=>\^~\|`]+",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "command-r, smollm digits": r"\p{N}",
    "tekken": "|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", SPACES]),
    "kimi-k2": "|".join([
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" + CONTRACTIONS + "?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*" + CONTRACTIONS + "?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", SPACES]),
    "an intersection": r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+|\p{N}{1,3}|\s+|.",
    "poro, viking, bloom with digits": r" ?[^(\s|.,!?…。，、।۔،)]+",
    "chameleon": r"[\t\n]|    |  ",
    "stablelm2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "exaone": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "exaone4": r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    "seed-coder": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{L}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
    "superbpe numbers": r"(?=(\d{3})+(?!\d))",
    "superbpe": r"\p{N}{3}(?=(?:\p{N}{3})*(?:\P{N}|$))| ?[^\s\p{L}\p{N}]{2,}[\r\n/]*|" + SPACES,
    "bailing, ling": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "gpt-oss digits": r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)",
    "hunyuan": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES + "|[" + CJK + "]+",
    "refact, codegen, santacoder digits": r"\d",
    "youtu": r"[\u0F00-\u0FFF\u0E00-\u0E7F\u0900-\u097F]+|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|" + SPACES,
    "gemma, spaces": r" ",
    "grok": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+(?=\S)|\s+",
}
ACCEPTED = [
    # syntax elements and characters
    "a|b", "(a|bc)", "a|", "|a", "(|a)b", r"\t|\v|\n|\r|\f|\a|\e", r"\x41|\x{61}|\x{10d4a}|\x{0042}", r"\u0061|\u00e9|\u4e2d", r"\.\-\/\'\"\<\>\`\_\ \#\&\~\{\}\[\]\(\)\|\^\$\*\+\?\\",
    r"\.|\-|\/|\'|\<|\`|\_|\ |\&|\{|\}|\[|\]|\(|\)|\||\^|\$|\*|\+|\?", "é|中|😀|ß", "]|}|-|,|&|~", "a-b|a&&b", "'|\"|<|>|=|!|:|;|@|#|%|_|/",
    # character types
    ".", ".+", r"\w", r"\w+", r"\W", r"\W+", r"\s", r"\s+", r"\S+", r"\d", r"\d+", r"\D+", r"\h+", r"\H+", r"\R", r"\R+", r"\N", r"\N+", r"\O", r"\O+", "(?m:.+)", "(?m).+",
    r"\w\s\d|\S\W", r"a.b", r"a\Nb", r"(?m:a.b)", r"\Rb",
    # properties
    *[rf"\p{{{p}}}+" for p in ("L", "Lu", "Ll", "Lt", "Lm", "Lo", "LC", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
                               "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Co", "Cn", "Letter", "Uppercase_Letter", "lowercase letter",
                               "Other_Letter", "Mark", "Nonspacing_Mark", "Number", "Decimal-Number", "Punctuation", "Symbol", "Math_Symbol", "Separator", "Other",
                               "Unassigned", "Control", "Format", "Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek", "Cyrillic", "Arabic", "Hebrew", "Thai",
                               "Devanagari", "Common", "Inherited", "han", "alpha", "Alnum", "upper", "lower", "digit", "space", "punct", "graph", "print", "cntrl",
                               "blank", "xdigit", "ascii")],
    r"\P{L}+", r"\p{^L}+", r"\P{^L}+", r"\P{Han}", r"[\p{L}]+", r"[\P{L}]+", r"[^\P{L}]+", r"[\p{^N}]+", r"[\p{alpha}\p{digit}]+", r"[\p{punct}]+", r"[^\p{punct}]+",
    # quantifiers
    "a?", "a*", "a+", "a{2}", "a{2,}", "a{,2}", "a{1,3}", "a{0}", "a{0,1}b", "a??b", "a*?b", "a+?b", "a+?", "a*?", "a{1,3}?", "a{2,}?b", "a{,2}?b", "a{2}?", "a?+a", "a*+a", "a++b",
    "(?:ab)+", "(?:ab)*", "(ab){2}", "(?:a|ab)(?:c|bcd)?", "(a*)*", "(?:a*)+b", "(?:a|b)*?c", "(?:a?){3}", r"\s{2,}", r"\p{L}{2,4}", "(?:a{1,2}){2}", "(?:a{2}){3}", "a{2}+", "a{1,2}+b", "a{,2}+", r"\p{N}{1,3}+", "[ab]{2}", ".{3}", r".{1,4}?\s",
    # anchors
    "^", "$", "^a", "a$", "^.", ".$", "^$", "^.*$", r"\b", r"\B", r"\ba", r"a\b", r"\Ba", r"a\B", r"\b\w+\b", r"\A", r"\Aa", r"\Z", r"a\Z", r"\z", r"a\z", r"\G", r"\Ga", r"\s+$", r"\s+\Z", r"\b\p{N}", "(?m:^.+$)",
    # classes
    "[abc]", "[^abc]", "[a-c]", "[^a-c]+", "[a-cA-C0-2]", "[-a]", "[a-]", "[^-a]+", "[-]", "[^-]+", "[a^]", "[&]", "[a&b]", "[a|b]", "[.]", "[$]", "[(]", "[*+?{}]+", r"[\]\[]", r"[\^a]", r"[\-a]",
    r"[\w]", r"[\w]+", r"[^\w]+", r"[\W]+", r"[^\W]+", r"[\s]+", r"[^\s]+", r"[\S]+", r"[\d]+", r"[^\d]+", r"[\D]+", r"[\h]+", r"[\H]+", r"[\w-]+", r"[\w\s]+", r"[\t\n\r\f\v\a\e]", r"[\x41-\x43]+",
    r"[\x{61}-\x{7a}]+", r"[\u0061-\u007a\u4e00-\u9fff]+", r"[\x{0}-\x{10ffff}]", "[一-龥]+", "[é-ü]+", "[[abc]]", "[a[bc]]+", "[^a[bc]]+", "[a[^b]]+", "[^a[^b]]+", "[[a-c][x-z]]+",
    "[a-z&&[^aeiou]]+", "[a-z&&[aeiou]]+", "[a-z&&b-d]+", "[a-z&&[b-y]&&[^c]]+", r"[\w&&[^\d]]+", r"[\p{L}&&\p{Latin}]+", r"[\p{L}&&[^a-z]]+", "[a&&a]",
    *[f"[[:{n}:]]+" for n in ("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit", "word")],
    *[f"[[:^{n}:]]+" for n in ("alnum", "alpha", "ascii", "digit", "punct", "space", "upper", "word")], "[^[:alpha:]]+", "[[:alpha:][:digit:]_]+", "[a[:digit:]&&[^5]]+",
    # groups
    "(?#comment)a", "a(?#c)b", "(?:ab|c)", "(ab)", "(?<name>ab)", "(?<n>a)(b)", "(?>a+)b", "(?>a|ab)c", "(?>ab|a)", "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", "(?<=ab|c)d", "(?<!ab|c)d", "(?<=a|bc)c", r"(?<=\s)\S",
    r"(?<!\s)\s", r"(?<=\p{L})\p{N}", r"(?<=^|\s)a", "(?=a)[ab]+", "(?!a)[ab]+", r"(?<=[^\p{L}])\p{L}", "(?<=a{2})b", "(?=.*b)a", r"(?!\p{Han})\p{L}+", r"(?<=.)a", r"(?<![\p{L}\p{N}])\p{N}+", "(?<=(?:ab|c))a", "(?<=a.)b",
    # case
    "(?i:a)", "(?i:ab|s)", "(?i)as", "a(?i)b", "a(?i)b|c", "(?i:ss)", "(?i:st)", "(?i:ff)", "(?i:k)", "(?i:[a-c])+", "(?i:[sk])", "(?i:[^s])+", "(?i:[^a-z])+", r"(?i:\s)+", r"(?i:[\s\d])+", r"(?i:a\sb)", "(?i:a(?-i:b))", "(?-i:a)", "(?im:a.)",
    "(?i-m:A.)", "(?-m:a.)", r"(?i)'(?:s|t|re)", r"(?i:\bs)", "(?i:ss+)", "(?i:s{2})", "(?i:.)", "(?i:fi)", "(?i:i)", "(?i:(a)|b)", "(?i:S)", "(?i:[[a-c]&&[^b]])+", r"(?i:\x41|\u0062)", "(?i:a|aa|s)+",
]
REFUSED = [
    # (expression, what it is called, byte)
    (r"(a)\1", r"the escape \1", 3), (r"(?<n>a)\k<n>", r"the escape \k", 7), (r"(?<n>a|b\g<n>c)", r"the escape \g", 8), ("(?~ab)", "the group or option (?~", 0), ("(?{a})b", "the group or option (?{", 0),
    ("(*FAIL)", "the callout (*", 0), ("(?(1)a|b)", "the group or option (?(", 0), (r"a\Kb", r"the escape \K", 1), (r"\X", r"the escape \X", 0), (r"\y", r"the escape \y", 0), (r"\Y", r"the escape \Y", 0),
    ("(?y{g})a", "the group or option (?y", 0), ("(?x:a b)", "the group or option (?x", 0), ("(?s:.)", "the group or option (?s", 0), (r"(?W:\w)", "the group or option (?W", 0), (r"(?D:\d)", "the group or option (?D", 0),
    (r"(?S:\s)", "the group or option (?S", 0), ("(?P:a)", "the group or option (?P", 0), ("(?P<n>a)", "the group or option (?P", 0), ("(?I:a)", "the group or option (?I", 0), ("(?L:a)", "the group or option (?L", 0), ("(?C)", "the group or option (?C", 0), ("(?)a", "the group or option (?)", 0),
    (r"a\077", r"the escape \0", 1), (r"\o{101}", r"the escape \o", 0), (r"\cA", r"the escape \c", 0), (r"\C-a", r"the escape \C", 0), (r"\M-a", r"the escape \M", 0), (r"\xe9", "an escape that is not", 0), (r"\x{110000}", "an escape that is not", 0),
    (r"\x{61 62}", "an escape that is not", 0), (r"\ud800", "an escape that is not", 0), (r"\Qa.b\E", r"the escape \Q", 0), (r"\é", r"the escape \\x{e9}", 0), ("a\\", "a backslash at its end", 1), (r"\i", r"the escape \i", 0),
    (r"\p{Foo}", "the property 'Foo'", 0), (r"\p{Emoji}", "the property 'Emoji'", 0), (r"\p{Word}", "the property 'Word'", 0), (r"\p{Script=Han}", "the property 'Script=Han'", 0), (r"\p{IsL}", "the property 'IsL'", 0), (r"\p{In_Arabic}", "the property 'In_Arabic'", 0), (r"\pL", r"a \p or \P without", 0), (r"\p{L", r"a \p or \P without", 0),
    (r"\p{Cs}", "the property 'Cs'", 0), (r"\p{ID_Start}", "the property 'ID_Start'", 0), (r"\p{Any}", "the property 'Any'", 0),
    ("a**", "the quantifier *", 2), ("a+*", "the quantifier *", 2), ("a{2}{3}", "the quantifier {", 4), ("a???", "the quantifier ?", 3), ("*a", "the quantifier *", 0), ("a|+", "the quantifier +", 2), ("(?:*)", "the quantifier *", 3), ("^*", "the quantifier *", 1),
    (r"\b+", "the quantifier +", 2), ("(?=a)*", "the quantifier *", 5), ("(?i)*a", "the quantifier *", 4), ("a(?#c)+", "the quantifier +", 6), ("a{,}", "a '{' that is not", 1), ("a{3,2}", "a '{' that is not", 1), ("a{b}", "a '{' that is not", 1), ("a{1001}", "a '{' that is not", 1), ("a{1", "a '{' that is not", 1), ("{", "the quantifier {", 0),
    ("[]a]", "a class with nothing in it", 0), ("[]", "a class with nothing in it", 0), ("[a", "a class that does not end", 0), ("[a-c-e]", "a '-' that is neither", 4), (r"[\w-a]", "a range that begins with a set", 1), (r"[a-\w]", r"the escape \w", 3), ("[c-a]", "a range that ends before", 1), ("[a&&]", "a class with nothing in it", 0),
    ("[&&a]", "a class with nothing in it", 0), ("[^a&&b]", "a negated class with '&&'", 0), ("[a[^b&&c]]", "a negated class with '&&'", 2), ("[a&&-b]", "a '-' that is neither", 4), (r"[\b]", r"\b in a class", 1), (r"[\R]", r"the escape \R", 1), ("[[:foo:]]", "the bracket expression [:'foo':]", 1), ("[[:alpha]]", "the bracket expression", 1), ("[--a]", "a '-' that is neither", 1), ("[a-[b]]", "a range without an end", 1), ("[a-&&b]", "a range without an end", 1), (r"[\1]", r"the escape \1", 1),
    ("(a", "a group that does not end", 0), ("a)", "a ')' without its '('", 1), ("(?:a", "a group that does not end", 0), ("(?<1>a)", "a group whose name", 0), ("(?<é>a)", "a group whose name", 0), ("(?<n", "a group whose name", 0), ("(?#a", "a comment (?#", 0), ("(?i", "a group that does not end", 0), ("(?<=\\ba)c", "a word boundary inside (?<", 4),
    ("(?i:é)", "a letter beyond ASCII where case is ignored", 4), ("(?i:[é])", "a letter beyond ASCII where case is ignored", 5), (r"(?i)\p{L}", r"\p where case is ignored", 4), (r"(?i:[\p{L}])", r"\p where case is ignored", 5), (r"(?i:\w)", r"\w where case is ignored", 4), (r"(?i:[^\W])", r"\W where case is ignored", 6), (r"(?i:\S)", r"\S where case is ignored", 4), ("(?i:[[:alpha:]])", "[:alpha:] where case is ignored", 5), (r"(?i:\u00e9)", "a letter beyond ASCII where case is ignored", 4),
]
LATIN = "The old man, he'd said, and I'll say we've seen 1859. "
# Public reports of expressions that other engines match differently, or not at all: the report, the expression, the text as
# units and how often each stands there.
REPORTS = [
    ("crusoecloud/fastokens#18", PUBLISHED["kimi-k2"], [(LATIN, 1), ("\u4e2d\u6587 and &&[^ \u4e2d\u6587&", 1)]),
    ("vllm-project/vllm#46835, the issue's own", PUBLISHED["an intersection"], [(LATIN, 1), ("\u4e2d\u6587", 2)]),
    ("openai/tiktoken#298", PUBLISHED["o200k, phi-4-mini"], [("a/b //\n/ HTTPServer's http://x.y/z\n", 2)]),
    ("openai/tiktoken#258", PUBLISHED["cl100k as tiktoken has it"], [("'s", 20000), (" ", 1), ("0", 50000), ("\n", 1)]),
    ("openai/tiktoken#245", PUBLISHED["r50k as tiktoken has it"], [("^", 1000000)]),
    ("ggml-org/llama.cpp#21257", PUBLISHED["exaone"], [("A", 43000)]),
    ("ggml-org/llama.cpp#21919", PUBLISHED["qwen3.5"], [("\u0926\u0947\u0935\u0928\u093e\u0917\u0930\u0940 ", 20), ("a\u0301", 30000)]),
    ("ggml-org/llama.cpp#27783", PUBLISHED["o200k, phi-4-mini"], [("\u4e2d", 26000), (" ", 26000), (".", 26000)]),
    ("ggml-org/llama.cpp#26965", PUBLISHED["deepseek-v3"], [("Z", 131072)]),
    ("ggml-org/llama.cpp#17786", PUBLISHED["o200k, phi-4-mini"], [("A", 10000), (" Say OK", 1)]),
    ("ggml-org/llama.cpp#7036", PUBLISHED["deepseek-coder letters"], [("F\u00fchrer fu\u0308hrer", 1)]),
    ("ggml-org/llama.cpp#3502", PUBLISHED["falcon digits"], [("= 1234567 and 12 =", 1)]),
    ("huggingface/tokenizers.js#24, anchors", "^a|b$", [("a\ra\u2028a\na b\rb\u2028b\nb", 1)]),
    ("huggingface/tokenizers.js#24, quantifiers", "a{2}+b|[ab]{,3}", [("aaaab aab ab bbbb", 1)]),
    ("huggingface/tokenizers.js#24, hexadecimal", r"\h+|\H", [("dead beef xyz 09 AF", 1)]),
    ("huggingface/tokenizers.js#24, case", "(?i:[a-f]+|[-y]|\\x67)", [("aFgG-yYxz", 1)]),
    ("meta-pytorch/tokenizers#38", PUBLISHED["tekken"], [("Hello world!  x", 1)]),
    ("belladoreai/llama-tokenizer-js#15", PUBLISHED["llama3"], [("\u00c9t\u00e9'S 12345\n\n x'\u017f", 1)]),
]
ALPHABET = (list("aaabbbcdeisStTkKfFABCxyz012345") + list("  \n\r\t") + ["\r\n", "'s", "'LL", "'re", "ss", "st", "ff", "  ", "\n\n", "ab", "abc", "aa"] + list(".,!?-_'\"<>=+*/\\|()[]{}^$&~`#%@:;")
            + list("éÉßẞſKﬁﬀﬆıİµªºǅǈÅ") + list("²³¹½¾٣५Ⅷ①ⓐ🄰〇㊀") + list("中文字漢語龥䶿々あアㄅ한글ᄀ𠀀𱍐") + list("аЯαΩבعไदक्") + ["\u0301", "\u0316", "\u200d", "\u200c", "\ufe0f", "\u093c", "\u20dd", "\u0345", "\u24b6"]
            + list("😀👍🇩©™€£→∑") + ["\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\u180e", "\u00ad", "\u2003", "\u1680", "\v", "\f", "\0", "\x1b", "\x7f", "\ufeff", "\ue000", "\U000e0041"]
            # newer than Unicode 14: 15, 15.1 and 16
            + ["\U00011f02", "\U0001e4d0", "\U00031350", "\U000323af", "\U0002ebf0", "\U00010d4a", "\U00010d50", "\U00010d70", "\U00010d40", "\ua7cb", "\ua7cd", "\u1c89", "\u1c8a", "\U000116d0", "\U00016d40", "\U0001ccf0", "\u0897", "\U00011380", "\U0001cc00", "\u1b4e",
               "\u088f", "\ua7ce", "\U00011de0", "\U000323b0"] + list("“”«»‘’…—、。！？～"))


class Random:
    """The same as in the test: a linear congruential generator with the constants of Knuth's MMIX."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def texts():
    rng = Random(15)
    for i in range(N_TEXTS):
        pool = ALPHABET if i % 2 else [ALPHABET[rng.below(len(ALPHABET))] for _ in range(3)] + [ALPHABET[rng.below(40)] for _ in range(3)]
        text = ""
        for _ in range(1 + rng.below(24)):
            text += pool[rng.below(len(pool))] * (1 + rng.below(4) if rng.below(4) == 0 else 1)
        yield text


def digest(pattern, rows):
    sha = hashlib.sha256()
    splits = [pre_tokenizers.Split(Regex(pattern), behavior) for behavior in ("isolated", "removed")]
    for text in rows:
        for split in splits:
            sha.update(b"".join(piece.encode() + b"\xff" for piece, _ in split.pre_tokenize_str(text)) + b"\xff")
    return sha.hexdigest()


def report(name, pattern, units):
    text = "".join(unit * times for unit, times in units)
    pieces = [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]
    sha = hashlib.sha256("".join(pieces[i] + "\0" for i in range(len(pieces))).encode()).hexdigest()
    return {"report": name, "pattern": pattern, "units": units, "n_pieces": len(pieces), "digest": sha}


def main():
    rows = list(texts())
    accepted = [p for p in dict.fromkeys(ACCEPTED)]
    golden = {"alphabet": ALPHABET, "n_texts": N_TEXTS,
              "published": [{"name": name, "pattern": p, "digest": digest(p, rows)} for name, p in PUBLISHED.items()],
              "accepted": [{"pattern": p, "digest": digest(p, rows)} for p in accepted],
              "reports": [report(*entry) for entry in REPORTS],
              "refused": [{"pattern": p, "construct": c, "at": at} for p, c, at in REFUSED]}
    OUT.write_text(json.dumps(golden, indent=0) + "\n")
    print(len(PUBLISHED), "published,", len(accepted), "accepted,", len(REFUSED), "refused")


if __name__ == "__main__":
    main()
