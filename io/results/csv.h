// Fields of CSV (RFC 4180).
#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <type_traits>

namespace tovamill {

// The shortest digits that read back the same.
template <class Number>
std::string digits(Number value) {
  char buffer[64];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

// A field of RFC 4180: quoted where it holds a quote, a comma or a line break. NaN is empty.
inline std::string csv_field(const std::string& s) {
  if (s.find_first_of("\",\r\n") == std::string::npos) return s;
  std::string quoted = "\"";
  for (const char c : s) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}
inline std::string csv_field(double v) { return std::isnan(v) ? "" : digits(v); }
inline std::string csv_field(float v) { return std::isnan(v) ? "" : digits(v); }
template <class Integer>
requires std::is_integral_v<Integer> std::string csv_field(Integer v) { return digits(v); }

}  // namespace tovamill
