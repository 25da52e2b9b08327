#include "engine/text/unicode_classes.h"

#include "engine/text/unicode_sets.h"

namespace tovamill {
namespace {

constexpr CodePointRange kNewerThan15[] = {
    {0x897, 0x897},     {0x1b4e, 0x1b4f},   {0x1b7f, 0x1b7f},   {0x1c89, 0x1c8a},
    {0x2427, 0x2429},   {0x31e4, 0x31e5},   {0xa7cb, 0xa7cd},   {0xa7da, 0xa7dc},
    {0x105c0, 0x105f3}, {0x10d40, 0x10d65}, {0x10d69, 0x10d85}, {0x10d8e, 0x10d8f},
    {0x10ec2, 0x10ec4}, {0x10efc, 0x10efc}, {0x11380, 0x113e2}, {0x116d0, 0x116e3},
    {0x11bc0, 0x11be1}, {0x11bf0, 0x11bf9}, {0x11f5a, 0x11f5a}, {0x13460, 0x143fa},
    {0x16100, 0x16139}, {0x16d40, 0x16d79}, {0x18cff, 0x18cff}, {0x1cc00, 0x1ceb3},
    {0x1e5d0, 0x1e5ff}, {0x1f8b2, 0x1f8bb}, {0x1f8c0, 0x1f8c1}, {0x1fa89, 0x1fa89},
    {0x1fa8f, 0x1fa8f}, {0x1fabe, 0x1fabe}, {0x1fac6, 0x1fac6}, {0x1fadc, 0x1fadc},
    {0x1fadf, 0x1fadf}, {0x1fae9, 0x1fae9}, {0x1fbcb, 0x1fbef},
};

}  // namespace

std::span<const CodePointRange> newer_than_unicode_15() { return kNewerThan15; }

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

const UnicodeClasses& UnicodeClasses::before_16() {
  static const UnicodeClasses classes = [] {
    UnicodeClasses older;
    for (const auto& [first, last] : kNewerThan15) {
      for (char32_t c = first; c <= last; ++c) (*older.storage_)[c] = 0;
    }
    return older;
  }();
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

bool is_in(std::span<const CodePointRange> ranges, char32_t c) {
  const auto after = std::ranges::upper_bound(ranges, c, {}, &CodePointRange::first);
  return after != ranges.begin() && c <= (after - 1)->last;
}

}  // namespace tovamill
