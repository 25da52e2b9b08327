// Checked access to the fields of a model's configuration: every error names the file, the field
// and what is wrong.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/types/model_limits.h"

namespace tovamill {

// Inclusive limits of a number in a configuration.
struct Limits {
  double min;
  double max;
};

// Wide enough for every published model, narrow enough that no product of two of them overflows an
// int64 and that sizes of rows fit an int32.
inline constexpr Limits kLayerLimits{1, kMaxLayers};
inline constexpr Limits kWidthLimits{1, kMaxHiddenSize};  // hidden_size
inline constexpr Limits kIntermediateLimits{1, kMaxIntermediateSize};
inline constexpr Limits kHeadLimits{1, kMaxHeads};
inline constexpr Limits kHeadDimLimits{2, kMaxHeadDim};
inline constexpr Limits kVocabLimits{1, kMaxVocabSize};
inline constexpr Limits kContextLimits{1, 1 << 30};  // tokens; also of windows
inline constexpr Limits kEpsLimits{1e-12, 1e-1};
inline constexpr Limits kThetaLimits{1, 1e15};
inline constexpr Limits kFactorLimits{1e-3, 1e6};

// A value in a message: texts in quotes, "array" and "object" for what would be long.
std::string shown(const nlohmann::json& value);
// A key of a file in a message: as it is where it is a plain name, else as printable() shows it.
std::string shown_key(const std::string& key);

class ConfigReader {
 public:
  // `object` must outlive the reader; `where` is the file, `prefix` is put before every key
  // ("llama.").
  ConfigReader(const nlohmann::json& object, std::string where, std::string prefix = "");

  // The value; nullptr where it is absent or null.
  const nlohmann::json* find(const std::string& key) const;

  const nlohmann::json& object() const { return object_; }

  // Whether the key is there, be it null.
  bool has(const std::string& key) const { return object_.contains(prefix_ + key); }

  // nullopt where the field is absent or null. Throws BadData where it has another type or is out
  // of range.
  std::optional<std::int32_t> optional_integer(const std::string& key, Limits limits) const;
  std::optional<double> optional_number(const std::string& key, Limits limits) const;
  std::optional<std::string> optional_text(const std::string& key) const;
  bool flag(const std::string& key, bool default_value) const;

  // Throws BadData where the field is absent, too.
  std::int32_t integer(const std::string& key, Limits limits) const;

  // One for each of `n` layers, where the field may be an array of them or one number for all.
  std::vector<std::int32_t> integers(const std::string& key, Limits limits, std::size_t n) const;

  // Throws BadData: "WHERE: PROBLEM".
  [[noreturn]] void fail(const std::string& problem) const;
  // The full name of a field in messages.
  std::string name(const std::string& key) const { return prefix_ + key; }
  const std::string& where() const { return where_; }
  const std::string& prefix() const { return prefix_; }

 private:
  std::int32_t checked_integer(const std::string& key, const nlohmann::json& value,
                               Limits limits) const;

  const nlohmann::json& object_;
  std::string where_;
  std::string prefix_;
};

}  // namespace tovamill
