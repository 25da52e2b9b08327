#include "workers/options/option_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::array<std::pair<BosMode, std::string_view>, 3> kBosModes{{
    {BosMode::automatic, "auto"},
    {BosMode::always, "always"},
    {BosMode::never, "never"},
}};

constexpr std::array<std::pair<TaskChoice, std::string_view>, 4> kTasks{{
    {TaskChoice::automatic, "auto"},
    {TaskChoice::summary, "summary"},
    {TaskChoice::qa, "qa"},
    {TaskChoice::continuation, "continue"},
}};
constexpr std::array<std::pair<InstructionChoice, std::string_view>, 5> kInstructions{{
    {InstructionChoice::automatic, "auto"},
    {InstructionChoice::before, "before"},
    {InstructionChoice::after, "after"},
    {InstructionChoice::both, "both"},
    {InstructionChoice::pinned, "pinned"},
}};
constexpr std::array<std::pair<Prefill, std::string_view>, 2> kPrefills{{
    {Prefill::stream, "stream"},
    {Prefill::full, "full"},
}};
constexpr std::array<std::pair<Truncation, std::string_view>, 2> kTruncations{{
    {Truncation::end, "end"},
    {Truncation::middle, "middle"},
}};
constexpr std::array<std::pair<Strategy, std::string_view>, 2> kStrategies{{
    {Strategy::stream, "stream"},
    {Strategy::chunk, "chunk"},
}};

// What may be asked for, in the order of messages; none is auto.
constexpr std::array<std::optional<DeviceKind>, 3> kDevices{std::nullopt, DeviceKind::cpu,
                                                            DeviceKind::cuda};
constexpr std::array<std::optional<ComputeType>, 3> kComputeTypes{std::nullopt, ComputeType::bf16,
                                                                  ComputeType::f32};

template <class Value>
std::string name_or_auto(std::optional<Value> value) {
  return value ? std::string(name_of(*value)) : "auto";
}

template <class Table>
std::vector<std::string> names_in(const Table& table) {
  std::vector<std::string> names;
  for (const auto& value : table) names.push_back(name_or_auto(value));
  return names;
}

// Enums by a table of their names.
template <class Table, class Value>
std::string name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return std::string(name);
  }
  return "?";
}

struct Suffix {
  std::string_view text;
  double factor;
};
constexpr double kKibi = 1024.0;
constexpr double kKilo = 1000.0;
constexpr std::array<Suffix, 16> kSuffixes{{
    {"K", kKibi},
    {"M", kKibi* kKibi},
    {"G", kKibi* kKibi* kKibi},
    {"T", kKibi* kKibi* kKibi* kKibi},
    {"KiB", kKibi},
    {"MiB", kKibi* kKibi},
    {"GiB", kKibi* kKibi* kKibi},
    {"TiB", kKibi* kKibi* kKibi* kKibi},
    {"KB", kKilo},
    {"MB", kKilo* kKilo},
    {"GB", kKilo* kKilo* kKilo},
    {"TB", kKilo* kKilo* kKilo* kKilo},
    {"k", kKibi},
    {"m", kKibi* kKibi},
    {"g", kKibi* kKibi* kKibi},
    {"t", kKibi* kKibi* kKibi* kKibi},
}};

[[noreturn]] void refuse(std::string_view option, std::string_view text, std::string_view wanted) {
  throw Error(ExitCode::usage,
              std::string(option) + " '" + std::string(text) + "' is not " + std::string(wanted));
}

template <class Table, class Value>
void read_in(const Table& table, std::string_view option, std::string_view text, Value& value) {
  std::string names;
  for (const auto& [known, name] : table) {
    if (name == text) {
      value = known;
      return;
    }
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(option, text, "known: choose one of " + names);
}

template <class Table, class Value>
void read_choice(const Table& table, std::string_view option, std::string_view text,
                 std::optional<Value>& value) {
  std::string names;
  for (const auto& known : table) {
    const std::string name = name_or_auto(known);
    if (name == text) {
      value = known;
      return;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  refuse(option, text, "known: choose one of " + names);
}

// True if the whole of `text` is a number of Value's type.
template <class Value>
bool read_number(std::string_view text, Value& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// An enum by the function that names it, with the option's own spelling in the message.
template <class Value, class Named>
void read_named(std::string_view option, std::string_view text, Value& value, Named&& named) {
  try {
    value = named(text);
  } catch (const Error& error) {
    const std::string what = error.what();
    const std::size_t blank = what.find(' ');
    throw Error(error.code(), std::string(option) + what.substr(blank));
  }
}

}  // namespace

std::string text_of(const std::string& value) { return value; }
std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(std::int32_t value) { return std::to_string(value); }
std::string text_of(std::uint64_t value) { return std::to_string(value); }

std::string text_of(double value) {
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), end);
}

std::string text_of(Policy value) { return std::string(name_of(value)); }
std::string text_of(Positions value) { return std::string(name_of(value)); }

std::string text_of(BosMode value) { return name_in(kBosModes, value); }
std::string text_of(std::optional<DeviceKind> value) { return name_or_auto(value); }
std::string text_of(std::optional<ComputeType> value) { return name_or_auto(value); }
std::string text_of(TaskChoice value) { return name_in(kTasks, value); }
std::string text_of(InstructionChoice value) { return name_in(kInstructions, value); }
std::string text_of(Prefill value) { return name_in(kPrefills, value); }
std::string text_of(Truncation value) { return name_in(kTruncations, value); }
std::string text_of(Strategy value) { return name_in(kStrategies, value); }

std::string text_of(Part value) {
  return std::to_string(value.index) + "/" + std::to_string(value.n);
}

void read_text(std::string_view, std::string_view text, std::string& value) { value = text; }

void read_text(std::string_view option, std::string_view text, bool& value) {
  constexpr std::array<std::string_view, 4> yes{"true", "yes", "on", "1"};
  constexpr std::array<std::string_view, 4> no{"false", "no", "off", "0"};
  const auto is = [&](const auto& words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (!is(yes) && !is(no)) refuse(option, text, "a yes or no: give true or false");
  value = is(yes);
}

void read_text(std::string_view option, std::string_view text, std::int32_t& value) {
  if (!read_number(text, value)) refuse(option, text, "a whole number (of at most 2147483647)");
}

void read_text(std::string_view option, std::string_view text, std::uint64_t& value) {
  constexpr std::string_view wanted =
      "a whole number of at least 0; bytes may be given as 512M, 1.5G or 2GiB";
  if (read_number(text, value)) return;
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto suffix = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                   [&](const Suffix& s) { return s.text == text.substr(digits); });
  double number = 0.0;
  if (suffix == kSuffixes.end() || !read_number(text.substr(0, digits), number))
    refuse(option, text, wanted);
  const double bytes = std::floor(number * suffix->factor);
  if (!(bytes < 0x1p63)) refuse(option, text, "a number below 8 EiB");
  value = static_cast<std::uint64_t>(bytes);
}

void read_text(std::string_view option, std::string_view text, double& value) {
  if (!read_number(text, value) || !std::isfinite(value)) refuse(option, text, "a number");
}

void read_text(std::string_view option, std::string_view text, Policy& value) {
  read_named(option, text, value, policy_named);
}

void read_text(std::string_view option, std::string_view text, Positions& value) {
  read_named(option, text, value, positions_named);
}

void read_text(std::string_view option, std::string_view text, BosMode& value) {
  read_in(kBosModes, option, text, value);
}
void read_text(std::string_view option, std::string_view text, std::optional<DeviceKind>& value) {
  read_choice(kDevices, option, text, value);
}
void read_text(std::string_view option, std::string_view text, std::optional<ComputeType>& value) {
  read_choice(kComputeTypes, option, text, value);
}
void read_text(std::string_view option, std::string_view text, TaskChoice& value) {
  read_in(kTasks, option, text, value);
}
void read_text(std::string_view option, std::string_view text, InstructionChoice& value) {
  read_in(kInstructions, option, text, value);
}
void read_text(std::string_view option, std::string_view text, Prefill& value) {
  read_in(kPrefills, option, text, value);
}
void read_text(std::string_view option, std::string_view text, Truncation& value) {
  read_in(kTruncations, option, text, value);
}
void read_text(std::string_view option, std::string_view text, Strategy& value) {
  read_in(kStrategies, option, text, value);
}

void read_text(std::string_view option, std::string_view text, Part& value) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  Part part;
  if (slash == text.size() || !read_number(text.substr(0, slash), part.index) ||
      !read_number(text.substr(slash + 1), part.n))
    refuse(option, text, "a part: give I/N, such as 3/16 for the third of sixteen");
  value = part;
}

std::vector<std::string> choices_of(const std::optional<DeviceKind>&) { return names_in(kDevices); }
std::vector<std::string> choices_of(const std::optional<ComputeType>&) {
  return names_in(kComputeTypes);
}

std::string quoted_if_needed(const std::string& value) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  const bool plain =
      value.empty() || (value.front() != '"' && value.front() != ' ' && value.back() != ' ' &&
                        std::none_of(value.begin(), value.end(), is_control));
  if (plain) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out + "\"";
}

std::string unquoted(std::string_view option, std::string_view text) {
  if (text.empty() || text.front() != '"') return std::string(text);
  std::string out;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      if (i + 1 != text.size())
        refuse(option, text, "one quoted text: something follows the closing quote");
      return out;
    }
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    constexpr std::string_view codes = "nrt\"\\";
    constexpr std::string_view values = "\n\r\t\"\\";
    const std::size_t code = ++i < text.size() ? codes.find(text[i]) : std::string_view::npos;
    if (code == std::string_view::npos)
      refuse(option, text, "a quoted text: \\n, \\r, \\t, \\\" and \\\\ are known");
    out += values[code];
  }
  refuse(option, text, "a complete quoted text: the closing quote is missing");
}

void check_range(bool ok, const std::string& option, const std::string& value,
                 const std::string& wanted) {
  if (!ok)
    throw Error(ExitCode::configuration, option + " " + value + " is out of range: " + wanted);
}

}  // namespace tovamill
