#include "engine/text/unicode_classes.h"

#include "engine/text/unicode_sets.h"

namespace tovamill {
const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses()
    : storage_(std::make_unique<std::array<std::uint8_t, kSize>>()), table_(storage_->data()) {
  mark(*unicode_set("L"), CharClass::letter);
  mark(*unicode_set("N"), CharClass::number);
  mark(*unicode_set("numeric"), CharClass::numeric);
  mark(*unicode_set("space"), CharClass::space);
  for (const char* set : {"Lu", "Lt", "Lm", "Lo", "M"}) mark(*unicode_set(set), CharClass::front);
  for (const char* set : {"Ll", "Lm", "Lo", "M"}) mark(*unicode_set(set), CharClass::back);
}

void UnicodeClasses::mark(std::span<const CodePointRange> ranges, std::uint8_t bits) {
  for (const auto& [first, last] : ranges) {
    for (char32_t c = first; c <= last; ++c) (*storage_)[c] |= bits;
  }
}

}  // namespace tovamill
