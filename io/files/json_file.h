// Small JSON files of a model directory, read with limits.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tovamill {

// Nested arrays and objects beyond this are not a model's configuration.
inline constexpr int kMaxJsonDepth = 64;

// Whether brackets outside of strings nest deeper than `max_depth`; looks at brackets only, so
// broken JSON is fine.
bool nests_deeper(std::string_view json, int max_depth);

// The JSON object in a file. NaN, Infinity and -Infinity, which Python writes, are numbers, plain
// and as transformers tags them ({"__float__": "NaN"}). Throws Error(no_input) where it is missing,
// BadData where it is larger than `max_bytes`, nested too deeply, not JSON, not UTF-8 or not an
// object.
nlohmann::json read_json_object(const std::string& path, std::size_t max_bytes);

}  // namespace tovamill
