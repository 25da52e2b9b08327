#include "engine/text/unicode_classes.h"

namespace tovamill {
namespace {

// White_Space, unchanged since Unicode 6.3.
constexpr CodePointRange kSpaces[] = {
    {0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
    {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
};

}  // namespace

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses()
    : storage_(std::make_unique<std::array<std::uint8_t, kSize>>()), table_(storage_->data()) {
  mark(letter_ranges(), CharClass::letter);
  mark(number_ranges(), CharClass::number | CharClass::numeric);
  mark(more_numeric_ranges(), CharClass::numeric);
  mark(kSpaces, CharClass::space);
}

void UnicodeClasses::mark(std::span<const CodePointRange> ranges, std::uint8_t bits) {
  for (const auto& [first, last] : ranges) {
    for (char32_t c = first; c <= last; ++c) (*storage_)[c] |= bits;
  }
}

}  // namespace tovamill
