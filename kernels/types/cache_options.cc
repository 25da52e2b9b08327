#include "kernels/types/cache_options.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::array<std::pair<Positions, std::string_view>, 3> kPositions{{
    {Positions::clipped, "clipped"},
    {Positions::absolute, "absolute"},
    {Positions::in_state, "in-state"},
}};

// Adds a name to a list.
void add_to(std::string& names, std::string_view name) {
  names += (names.empty() ? "" : ", ") + std::string(name);
}

[[noreturn]] void refuse_name(const char* option, std::string_view name, const std::string& known) {
  throw Error(ExitCode::usage, std::string(option) + " '" + std::string(name) +
                                   "' is not known: choose one of " + known);
}

void check(bool ok, const char* option, const std::string& value, const std::string& wanted) {
  if (!ok)
    throw Error(ExitCode::configuration,
                std::string(option) + " " + value + " is out of range: " + wanted);
}

}  // namespace

std::string_view name_of(Policy policy) {
  for (const PolicyTraits& p : kPolicies) {
    if (p.policy == policy) return p.name;
  }
  return "?";
}

std::string_view name_of(Positions positions) {
  for (const auto& [value, name] : kPositions) {
    if (value == positions) return name;
  }
  return "?";
}

Policy policy_named(std::string_view name) {
  for (const PolicyTraits& p : kPolicies) {
    if (p.name == name) return p.policy;
  }
  refuse_name("--policy", name, policy_names([](const PolicyTraits&) { return true; }));
}

Positions positions_named(std::string_view name) {
  std::string known;
  for (const auto& [value, its_name] : kPositions) {
    if (its_name == name) return value;
    add_to(known, its_name);
  }
  refuse_name("--positions", name, known);
}

std::string policy_names(bool (*wanted)(const PolicyTraits&)) {
  std::string names;
  for (const PolicyTraits& p : kPolicies) {
    if (wanted(p)) add_to(names, p.name);
  }
  return names;
}

std::string policies_taking(PolicyOption option) {
  std::string names;
  for (const PolicyTraits& p : kPolicies) {
    if (p.takes(option)) add_to(names, p.name);
  }
  return names;
}

std::int32_t fewest_tokens(const CacheOptions& o) {
  const std::int32_t size = o.layer_sizes.empty()
                                ? o.cache_size
                                : *std::min_element(o.layer_sizes.begin(), o.layer_sizes.end());
  return size - o.merge;
}

void validate(const CacheOptions& o) {
  using std::to_string;
  const std::string k = to_string(o.cache_size);
  check(o.cache_size >= 1 && o.cache_size <= (1 << 24), "--cache-size", k,
        "give 1 to 16777216 tokens");
  check(o.pin >= 0 && o.pin <= o.cache_size, "--pin", to_string(o.pin),
        "give 0 to --cache-size (" + k + ")");
  check(o.sinks >= 0 && o.sinks < o.cache_size, "--sinks", to_string(o.sinks),
        "give 0 to --cache-size - 1");
  check(o.recent >= -1 && o.recent <= o.cache_size, "--recent", to_string(o.recent),
        "give 0 to --cache-size (" + k + "), or -1 for half of it");
  check(o.ema >= 0.0 && o.ema < 1.0, "--ema", to_string(o.ema), "give a decay in [0, 1)");
  check(o.merge >= 0 && o.merge < o.cache_size - o.pin, "--merge", to_string(o.merge),
        "give 0 to --cache-size (" + k + ") less --pin less 1 places");
  if (o.merge > 0 && o.positions == Positions::in_state) {
    throw Error(ExitCode::configuration,
                "--merge " + to_string(o.merge) +
                    " goes with --positions clipped or absolute: merged tokens have no age to be "
                    "numbered by");
  }
  check(o.clip_distance >= 0, "--clip-distance", to_string(o.clip_distance),
        "give a number of tokens, 0 for auto");
  check(o.chunk_tokens == 0 || o.chunk_tokens >= 2, "--chunk-tokens", to_string(o.chunk_tokens),
        "give 0 (never restart) or at least 2 tokens");
}

}  // namespace tovamill
