"""Writes kernels/codebooks.cc: the tables of GGUF's IQ types, from the Python package gguf.

    python3 tests/support/generators/make_codebooks.py
"""
import pathlib

from gguf import quants

TABLES = {"Iq1": quants.IQ1_S, "Iq2S": quants.IQ2_S, "Iq2Xs": quants.IQ2_XS, "Iq2Xxs": quants.IQ2_XXS,
          "Iq3S": quants.IQ3_S, "Iq3Xxs": quants.IQ3_XXS}
HEAD = '''// The tables, four hexadecimal digits an entry; written by
// tests/support/generators/make_codebooks.py.
#include "kernels/codebooks.h"

namespace tovamill {
namespace {

constexpr unsigned hex_digit(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

template <std::size_t n>
constexpr std::array<std::uint16_t, n> entries(const char* digits) {
  std::array<std::uint16_t, n> out{};
  for (std::uint16_t& entry : out) {
    unsigned value = 0;
    for (int i = 0; i < 4; ++i) value = value << 4 | hex_digit(*digits++);
    entry = static_cast<std::uint16_t>(value);
  }
  return out;
}

}  // namespace
'''


def entries(quant):
    """As numbers: the package has the bytes with the first elements first."""
    data = bytes.fromhex(quant.grid_hex.decode())
    return [data[i] | data[i + 1] << 8 for i in range(0, len(data), 2)]


def main():
    text = HEAD
    for name, quant in TABLES.items():
        numbers = entries(quant)
        digits = "".join(f"{number:04x}" for number in numbers)
        rows = [f'    "{digits[i:i + 92]}"' for i in range(0, len(digits), 92)]
        text += f"\nconst std::array<std::uint16_t, {len(numbers)}> k{name}Grid = entries<{len(numbers)}>(\n"
        text += "\n".join(rows) + ");\n"
    text += "\n}  // namespace tovamill\n"
    (pathlib.Path(__file__).parents[3] / "kernels" / "codebooks.cc").write_text(text)


if __name__ == "__main__":
    main()
