#include "engine/model/config_reader.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>
#include <utility>

#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

std::string shown(const nlohmann::json& value) {
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (value.is_structured()) return value.type_name();
  if (!value.is_number_float() || std::isfinite(value.get<double>())) return value.dump();
  const auto number = value.get<double>();
  return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
}

std::string shown_key(const std::string& key) {
  constexpr std::size_t kLongest = 80;
  const bool is_plain =
      key.size() <= kLongest && std::all_of(key.begin(), key.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
      });
  return is_plain ? key : printable(key);
}

namespace {

std::string range(Limits limits) {
  std::ostringstream text;
  text.precision(12);
  text << limits.min << " to " << limits.max;
  return text.str();
}

}  // namespace

ConfigReader::ConfigReader(const nlohmann::json& object, std::string where, std::string prefix)
    : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (!object_.is_object()) fail("the configuration is not a JSON object");
}

void ConfigReader::fail(const std::string& problem) const {
  throw BadData(where_ + ": " + problem);
}

const nlohmann::json* ConfigReader::find(const std::string& key) const {
  const auto place = object_.find(prefix_ + key);
  return place == object_.end() || place->is_null() ? nullptr : &*place;
}

std::int32_t ConfigReader::checked_integer(const std::string& key, const nlohmann::json& value,
                                           Limits limits) const {
  if (!value.is_number_integer()) fail(name(key) + " is " + shown(value) + ", not an integer");
  const double number = value.get<double>();
  if (!(number >= limits.min && number <= limits.max)) {
    fail(name(key) + " is " + shown(value) + ", outside " + range(limits));
  }
  return static_cast<std::int32_t>(number);
}

std::optional<std::int32_t> ConfigReader::optional_integer(const std::string& key,
                                                           Limits limits) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return checked_integer(key, *value, limits);
}

std::int32_t ConfigReader::integer(const std::string& key, Limits limits) const {
  const auto value = optional_integer(key, limits);
  if (!value) fail(name(key) + " is missing");
  return *value;
}

std::vector<std::int32_t> ConfigReader::integers(const std::string& key, Limits limits,
                                                 std::size_t n) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) fail(name(key) + " is missing");
  if (!value->is_array()) return std::vector(n, checked_integer(key, *value, limits));
  if (value->empty()) fail(name(key) + " is an empty array");
  if (value->size() != n)
    fail(name(key) + " is an array of " + std::to_string(value->size()) + " for " +
         std::to_string(n) + " layers");
  std::vector<std::int32_t> numbers;
  for (const nlohmann::json& element : *value)
    numbers.push_back(checked_integer(key, element, limits));
  return numbers;
}

std::optional<double> ConfigReader::optional_number(const std::string& key, Limits limits) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) fail(name(key) + " is " + shown(*value) + ", not a number");
  const double number = value->get<double>();
  if (!(number >= limits.min && number <= limits.max)) {  // also NaN
    fail(name(key) + " is " + shown(*value) + ", outside " + range(limits));
  }
  return number;
}

std::optional<std::string> ConfigReader::optional_text(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(name(key) + " is " + shown(*value) + ", not a string");
  return value->get<std::string>();
}

bool ConfigReader::flag(const std::string& key, bool default_value) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return default_value;
  if (!value->is_boolean()) fail(name(key) + " is " + shown(*value) + ", not true or false");
  return value->get<bool>();
}

}  // namespace tovamill
