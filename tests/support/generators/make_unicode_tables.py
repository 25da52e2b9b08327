#!/usr/bin/env python3
"""Writes engine/text/unicode_tables.cc: sets of characters as the regular expressions of `tokenizers` see them.

    python3 tests/support/generators/make_unicode_tables.py > engine/text/unicode_tables.cc

They are asked of the Python package itself (Oniguruma's tables, and Rust's char::is_numeric for Digits), code point by
code point, so that they are the tables that decide Hugging Face's ids and not those of the system's libraries. What can
be derived from others (engine/text/unicode_sets.cc) is only checked.
"""
import tokenizers
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, CODE_POINTS))
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co").split()
SCRIPTS = ("Arabic Armenian Bengali Bopomofo Canadian_Aboriginal Cherokee Common Cyrillic Devanagari Ethiopic Georgian Greek Gujarati "
           "Gurmukhi Han Hangul Hebrew Hiragana Inherited Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala "
           "Syriac Tamil Telugu Thaana Thai Tibetan Yi").split()


def matched(pattern):
    """The code points that a pattern of one character matches."""
    left = bytearray(b"\1") * len(CODE_POINTS)
    for _, (first, end) in pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed").pre_tokenize_str(TEXT):
        left[first:end] = bytes(end - first)
    return {c for c, is_matched in zip(CODE_POINTS, left) if is_matched}


def digits():
    """What the pre-tokenizer Digits isolates."""
    found = set()
    for first in range(0, len(CODE_POINTS), 512):
        row = "--" + "--".join(map(chr, CODE_POINTS[first:first + 512])) + "--"
        found.update(ord(piece) for piece, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(row) if len(piece) == 1)
    return found


def runs(code_points):
    """How many code points to skip, how many to take, and so on. Surrogates are taken where their neighbours are."""
    out, end = [], 0
    for c in sorted(code_points):
        c_end = c + 1
        if out and (c == end or (end == 0xD800 and c == 0xE000)):
            out[-1] += c_end - end
        else:
            out += [c - end, 1]
        end = c_end
    return " ".join(map(str, out))


def table(name, sets):
    print(f"constexpr NamedRuns {name}[] = {{")
    for set_name, code_points in sets.items():
        line, lines = "", []
        for word in (runs(code_points) + " ").split(" ")[:-1]:
            if len(line) + len(word) + 11 > 100:
                lines.append(line)
                line = ""
            line += word + " "
        lines.append(line.rstrip())
        print(f'    {{"{set_name}",')
        print("\n".join(f'     "{each}"' for each in lines) + "},")
    print("};\n")


def main():
    categories = {name: matched(rf"\p{{{name}}}") for name in CATEGORIES}
    scripts = {name: matched(rf"\p{{{name}}}") for name in SCRIPTS}
    union = lambda prefixes: {c for name, s in categories.items() if name.startswith(tuple(prefixes.split())) for c in s}  # noqa: E731
    everything = set(CODE_POINTS)
    alpha, upper, lower, word = matched("[[:alpha:]]"), matched("[[:upper:]]"), matched("[[:lower:]]"), matched("[[:word:]]")
    more = {"alpha": alpha - union("L Nl"), "upper": upper - union("Lu"), "lower": lower - union("Ll"),
            "word": word - union("L M Nd Nl Pc"), "numeric": digits() - union("N")}
    assert union("L Nl") <= alpha and union("Lu") <= upper and union("Ll") <= lower and union("L M Nd Nl Pc") <= word
    space = union("Z") | set(range(9, 14)) | {0x85}
    graph = everything - space - union("Cc") - (everything - union("L M N P S Z C"))
    derived = {r"\s": space, "[[:space:]]": space, r"\d": union("Nd"), "[[:digit:]]": union("Nd"), "[[:alnum:]]": alpha | union("Nd"),
               "[[:graph:]]": graph, "[[:print:]]": graph | union("Zs"), "[[:punct:]]": union("P S"), "[[:cntrl:]]": union("Cc"),
               "[[:blank:]]": union("Zs") | {9}, r"\h": set(map(ord, "0123456789abcdefABCDEF")),
               r"\w": word | {0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe}, r"[\w]": word}
    for pattern, expected in derived.items():
        assert matched(pattern) == expected, (pattern, sorted(matched(pattern) ^ expected)[:9])
    print(f"// Written by tests/support/generators/make_unicode_tables.py with `tokenizers` {tokenizers.__version__}:\n"
          "// Oniguruma 6.9.10, Unicode 16.\n// clang-format off")
    print('#include "engine/text/unicode_tables.h"\n')
    print("namespace tovamill {\nnamespace {\n")
    table("kCategories", categories)
    table("kScripts", scripts)
    print("// What these sets have beside categories. numeric: char::is_numeric of Rust, where it is ahead of Oniguruma.")
    table("kMore", more)
    print("}  // namespace\n")
    for name in ("categories", "scripts", "more"):
        print(f"std::span<const NamedRuns> {name}_table() {{ return k{name.capitalize()}; }}")
    print("\n}  // namespace tovamill")


if __name__ == "__main__":
    main()
