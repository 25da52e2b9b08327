// --sweep: the settings of one run, which reads its corpus once for all of them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "workers/options/run_options.h"

namespace tovamill {

// A backend's workspace and a state for each document come with every setting.
inline constexpr std::size_t kMostSettings = 64;

// What a run of this setting alone would be asked for.
struct SweepSetting {
  std::string name;  // of what varies: "full", "tova-512", "tova-ema-256-ema=0.9"
  RunOptions options;
};

struct Sweep {
  std::vector<SweepSetting> settings;  // in the order of the values; names differ
  std::vector<std::string> notes;      // a line for each option that some settings make no use of

  std::size_t baseline() const;  // the first `full`, else the first
  std::string names() const;     // "full, tova-512"
};

// Reads `--sweep "policy=full,tova cache-size=128,256"`: the cross product of the values of options
// of the state (CacheOptions), of --budgets, of --seed and, where texts are written, of
// --instruction. An option without effect in a setting is as where none is given, and settings that
// come to the same are one. Throws Error(usage) naming what cannot be read, Error(configuration)
// naming the setting that a run alone would refuse, or too many.
Sweep sweep_of(const RunOptions& options);

inline bool is_sweep(const RunOptions& options) { return !options.sweep.empty(); }
// What bounds the states of each setting, in their order: one of a run without a sweep.
std::vector<CacheOptions> caches_of(const RunOptions& options);

// Where --budgets were measured otherwise than they are used, a line for each file: with another
// --merge, or on another model than the one described (describe_model, or a text that ends so).
std::vector<std::string> budget_notes(const RunOptions& options, std::string_view model);

// Calls visit(name, field, effect) for the options that a sweep can vary.
template <class Options, class Visit>
void visit_swept_fields(Options& o, Visit&& visit) {
  const auto* first = reinterpret_cast<const std::byte*>(&o.cache);
  visit_fields(o, [&](std::string_view name, auto& field, Effect effect, const char*) {
    if constexpr (!requires { field.front().front(); }) {  // no list of texts
      const auto* at = reinterpret_cast<const std::byte*>(&field);
      const bool is_of_state = at >= first && at < first + sizeof(CacheOptions);
      const bool is_of_texts = name == "instruction" && has_effect(effect, o);
      if (is_of_state || is_of_texts || name == "seed" || name == "budgets")
        visit(name, field, effect);
    }
  });
}

}  // namespace tovamill
