#include "pipeline/probe/probe_key.h"

#include <algorithm>
#include <charconv>

namespace tovamill {
namespace {

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The part up to the next slash, which goes with it.
std::string_view next_part(std::string_view& text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view part = text.substr(0, slash);
  text.remove_prefix(std::min(text.size(), slash + 1));
  return part;
}

}  // namespace

std::string_view name_of(ProbeTask task) { return kProbeTaskNames[static_cast<std::size_t>(task)]; }

std::optional<ProbeTask> probe_task_named(std::string_view name) {
  for (std::size_t i = 0; i < kProbeTaskNames.size(); ++i) {
    if (kProbeTaskNames[i] == name) return static_cast<ProbeTask>(i);
  }
  return std::nullopt;
}

std::string depth_text(std::optional<double> depth) {
  if (!depth) return "-";
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, *depth).ptr};
}

std::string id_of(const ProbeKey& key) {
  return std::string(kProbeIdFront) + std::string(name_of(key.task)) + "/" +
         std::to_string(key.length) + "/" + depth_text(key.depth) + "/" +
         std::to_string(key.sample);
}

std::optional<ProbeKey> probe_key_of(std::string_view id) {
  if (!id.starts_with(kProbeIdFront)) return std::nullopt;
  std::string_view rest = id.substr(kProbeIdFront.size());
  const auto task = probe_task_named(next_part(rest));
  const auto length = whole_number<std::uint64_t>(next_part(rest));
  const auto depth = whole_number<double>(next_part(rest));
  const auto sample = whole_number<std::uint32_t>(rest);
  if (!task || !length || !sample) return std::nullopt;
  ProbeKey key{.task = *task, .length = *length, .depth = depth, .sample = *sample};
  if (id_of(key) != id || depth.has_value() != has_depth(*task)) return std::nullopt;
  return key;
}

}  // namespace tovamill
