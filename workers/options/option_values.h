// A run's options as text and back: what the command line, the INI file, the fingerprint and
// results.h5 have in common. Every value reads back from its own text unchanged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workers/options/run_options.h"

namespace tovamill {

// The text of a value as on the command line: "tova", "0.95", "true". A list is printed value by
// value, not here.
std::string text_of(const std::string& value);
std::string text_of(bool value);
std::string text_of(std::int32_t value);
std::string text_of(std::uint64_t value);
std::string text_of(double value);  // the shortest decimal that reads back equal
std::string text_of(Policy value);
std::string text_of(Positions value);
std::string text_of(BosMode value);
std::string text_of(std::optional<DeviceKind> value);   // none: "auto"
std::string text_of(std::optional<ComputeType> value);  // none: "auto"
std::string text_of(Part value);                        // "3/16"
std::string text_of(TaskChoice value);
std::string text_of(InstructionChoice value);
std::string text_of(Prefill value);
std::string text_of(Truncation value);
std::string text_of(Strategy value);

// Reads `text` into `value`; `option` names it in messages ("--pin"). Numbers are decimal and
// complete; whole unsigned numbers may carry K, M, G, T or KiB, MiB, GiB, TiB (powers of 1024), or
// KB, MB, GB, TB (powers of 1000). Throws Error(usage) saying what was given and what is wanted.
void read_text(std::string_view option, std::string_view text, std::string& value);
void read_text(std::string_view option, std::string_view text, bool& value);
void read_text(std::string_view option, std::string_view text, std::int32_t& value);
void read_text(std::string_view option, std::string_view text, std::uint64_t& value);
void read_text(std::string_view option, std::string_view text, double& value);
void read_text(std::string_view option, std::string_view text, Policy& value);
void read_text(std::string_view option, std::string_view text, Positions& value);
void read_text(std::string_view option, std::string_view text, BosMode& value);
void read_text(std::string_view option, std::string_view text, std::optional<DeviceKind>& value);
void read_text(std::string_view option, std::string_view text, std::optional<ComputeType>& value);
void read_text(std::string_view option, std::string_view text, Part& value);
void read_text(std::string_view option, std::string_view text, TaskChoice& value);
void read_text(std::string_view option, std::string_view text, InstructionChoice& value);
void read_text(std::string_view option, std::string_view text, Prefill& value);
void read_text(std::string_view option, std::string_view text, Truncation& value);
void read_text(std::string_view option, std::string_view text, Strategy& value);

// One `key = value` line for each field of `options` whose name `wanted(name)` accepts, in the
// order of visit_fields; a list gives a line per value. Values with a leading quote, edge blanks or
// control characters are quoted.
template <class Wanted>
std::string config_lines(const RunOptions& options, Wanted&& wanted);

// "value", or "\"value\"" with \\, \", \n, \r, \t escaped where the plain text would not read back.
std::string quoted_if_needed(const std::string& value);
// The inverse. Throws Error(usage) on a broken quotation.
std::string unquoted(std::string_view option, std::string_view text);

template <class Wanted>
std::string config_lines(const RunOptions& options, Wanted&& wanted) {
  std::string lines;
  visit_fields(options, [&](std::string_view name, const auto& field, Effect, const char*) {
    if (!wanted(name)) return;
    if constexpr (requires { field.front().front(); }) {  // std::vector<std::string>
      for (const std::string& value : field) {
        lines += std::string(name) + " = " + quoted_if_needed(value) + "\n";
      }
    } else {
      lines += std::string(name) + " = " + quoted_if_needed(text_of(field)) + "\n";
    }
  });
  return lines;
}

// The names that an option of this type takes, in the order of its enumerators.
template <class Enum>
std::vector<std::string> names_of_enum() {
  std::vector<std::string> names;
  for (std::uint8_t i = 0; text_of(static_cast<Enum>(i)) != "?"; ++i)
    names.push_back(text_of(static_cast<Enum>(i)));
  return names;
}

// The same of options that a run decides where none is given.
std::vector<std::string> choices_of(const std::optional<DeviceKind>&);
std::vector<std::string> choices_of(const std::optional<ComputeType>&);

// Throws Error(configuration) "--top-k 0 is out of range: ..." unless `ok`.
void check_range(bool ok, const std::string& option, const std::string& value,
                 const std::string& wanted);

}  // namespace tovamill
