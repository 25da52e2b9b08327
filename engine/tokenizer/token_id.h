// The number of a token in a model's vocabulary.
#pragma once

#include <cstdint>

namespace tovamill {

using TokenId = std::int32_t;
constexpr TokenId kNoToken = -1;

}  // namespace tovamill
