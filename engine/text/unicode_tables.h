// The tables behind unicode_sets.h.
#pragma once

#include <span>
#include <string_view>

namespace tovamill {

// A set of code points as numbers: how many to skip, how many to take, and so on from 0.
struct NamedRuns {
  const char* name;
  const char* runs;
};

std::span<const NamedRuns> categories_table();  // of two letters, without Cn and Cs
std::span<const NamedRuns> scripts_table();
std::span<const NamedRuns> more_table();  // alpha, upper, lower, word, numeric: what they have more

}  // namespace tovamill
