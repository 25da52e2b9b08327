#include "kernels/types/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace tovamill {
namespace {

// `end`: behind the last digit before the decimal point.
void insert_thousands(std::string& digits, std::size_t end) {
  const std::size_t begin = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = end; i > begin + 3; i -= 3) digits.insert(i - 3, ",");
}

std::string printed(const char* format, int n_decimals, double value) {
  std::array<char, 400> buffer;
  std::snprintf(buffer.data(), buffer.size(), format, n_decimals, value);
  return buffer.data();
}

}  // namespace

std::string with_thousands(std::uint64_t value) {
  std::string digits = std::to_string(value);
  insert_thousands(digits, digits.size());
  return digits;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return counted(bytes, "byte");
  double value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < units.size(); ++unit) value /= 1024.0;
  return fixed_point(value, 1) + " " + units[unit];
}

std::string human_count(std::uint64_t n) {
  constexpr std::array<const char*, 3> units{"K", "M", "B"};
  if (n < 1000) return std::to_string(n);
  double value = static_cast<double>(n) / 1000.0;
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < units.size(); ++unit) value /= 1000.0;
  const bool has_decimal = value < 9.95 || unit + 1 == units.size();
  return fixed_point(value, has_decimal ? 1 : 0) + " " + units[unit];
}

std::string human_duration(double seconds) {
  if (!(seconds < 1e9)) return "-";
  if (seconds < 59.95) return fixed_point(seconds, 1) + " s";
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  const auto two_digits = [](std::uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (whole < 3600) return std::to_string(whole / 60) + " min " + two_digits(whole % 60) + " s";
  return with_thousands(whole / 3600) + " h " + two_digits(whole % 3600 / 60) + " min";
}

std::string fixed_point(double value, int n_decimals) {
  if (!std::isfinite(value)) return "-";
  std::string text = printed("%.*f", n_decimals, value);
  insert_thousands(text, std::min(text.find('.'), text.size()));
  return text;
}

std::string perplexity_text(double value) {
  constexpr double kWide = 999'999.99995;  // is a million once it is rounded
  if (!std::isfinite(value) || std::abs(value) < kWide) return fixed_point(value, 4);
  return printed("%.*e", 4, value);
}

std::string counted(std::uint64_t n, const std::string& noun) {
  return with_thousands(n) + " " + noun + (n == 1 ? "" : "s");
}

std::string row(const std::string& name, const std::string& value) {
  constexpr std::size_t kNameWidth = 22;
  return name + std::string(name.size() < kNameWidth ? kNameWidth - name.size() : 1, ' ') + value +
         "\n";
}

}  // namespace tovamill
