#!/usr/bin/env python3
"""Writes engine/text/unicode_ranges.cc: the letters and numbers as the regular expressions of `tokenizers` see them.

    python3 tests/support/generators/make_unicode_ranges.py > engine/text/unicode_ranges.cc

They are asked of the Python package itself (Oniguruma's tables, and Rust's char::is_numeric for Digits), code point by
code point, so that they are the tables that decide Hugging Face's ids and not those of the system's PCRE2.
"""
import tokenizers
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matched(pre_tokenizer):
    """The code points that the pre-tokenizer isolates, one at a time."""
    found = set()
    for first in range(0, len(CODE_POINTS), 512):
        row = "--" + "--".join(map(chr, CODE_POINTS[first:first + 512])) + "--"
        found.update(ord(piece) for piece, _ in pre_tokenizer.pre_tokenize_str(row) if len(piece) == 1)
    return found


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, comment, code_points):
    print(f"// {comment}")
    cells = [f"{{0x{a:x}, 0x{b:x}}}" for a, b in ranges(code_points)]
    print(f"constexpr CodePointRange {name}[] = {{")
    line = "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 100:
            print(line)
            line = "   "
        line += f" {cell},"
    print(line)
    print("};\n")


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def main():
    letters = matched(isolated(r"\p{L}"))
    numbers = matched(isolated(r"\p{N}"))
    digits = matched(pre_tokenizers.Digits(individual_digits=True))
    assert numbers <= digits
    print(f"// Written by tests/support/generators/make_unicode_ranges.py with `tokenizers` {tokenizers.__version__}.")
    print('#include "engine/text/unicode_classes.h"\n')
    print("namespace tovamill {\nnamespace {\n")
    table("kLetters", r"\p{L} of Oniguruma.", letters)
    table("kNumbers", r"\p{N} of Oniguruma.", numbers)
    table("kMoreNumerics", "char::is_numeric of Rust, where it is ahead of Oniguruma.", digits - numbers)
    print("}  // namespace\n")
    print("std::span<const CodePointRange> letter_ranges() { return kLetters; }")
    print("std::span<const CodePointRange> number_ranges() { return kNumbers; }")
    print("std::span<const CodePointRange> more_numeric_ranges() { return kMoreNumerics; }\n")
    print("}  // namespace tovamill")


if __name__ == "__main__":
    main()
