#include "workers/options/sweep.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "kernels/types/error.h"
#include "workers/options/budgets.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

struct SweptOption {
  std::string name;
  std::vector<std::string> values;  // as text_of gives them, each once
};

[[noreturn]] void refuse_sweep(const std::string& what) {
  throw Error(ExitCode::usage, "--sweep: " + what);
}

std::string names_of_swept_fields(const RunOptions& options) {
  std::string names;
  visit_swept_fields(options, [&](std::string_view name, const auto&, Effect) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  });
  return names;
}

// Sets the option, and gives its value as it reads back.
std::string set_swept(RunOptions& options, std::string_view wanted, const std::string& text) {
  std::string value;
  bool is_known = false;
  visit_swept_fields(options, [&](std::string_view name, auto& field, Effect) {
    if (name != wanted) return;
    is_known = true;
    read_text("--sweep: " + std::string(name), text, field);
    value = text_of(field);
  });
  if (!is_known)
    refuse_sweep("'" + std::string(wanted) + "' is no option that a sweep can vary: choose of " +
                 names_of_swept_fields(options));
  return value;
}

std::string swept_value(const RunOptions& options, std::string_view wanted) {
  std::string value;
  visit_swept_fields(options, [&](std::string_view name, const auto& field, Effect) {
    if (name == wanted) value = text_of(field);
  });
  return value;
}

SweptOption read_swept_option(const std::string& word, Job job) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos)
    refuse_sweep("'" + word + "' is not NAME=VALUE,VALUE..., such as cache-size=128,256");
  SweptOption option{.name = word.substr(0, equals), .values = {}};
  std::istringstream values(word.substr(equals + 1) + ",");
  for (std::string text; std::getline(values, text, ',');) {
    if (text.empty()) refuse_sweep("'" + word + "' has an empty value");
    RunOptions scratch;
    scratch.job_kind = job;
    std::string value = set_swept(scratch, option.name, text);
    if (std::find(option.values.begin(), option.values.end(), value) == option.values.end())
      option.values.push_back(std::move(value));
  }
  return option;
}

std::vector<SweptOption> read_swept_options(const std::string& text, Job job) {
  std::vector<SweptOption> options;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    SweptOption option = read_swept_option(word, job);
    for (const SweptOption& other : options) {
      if (other.name == option.name) refuse_sweep("'" + option.name + "' is given twice");
    }
    options.push_back(std::move(option));
  }
  if (options.empty())
    refuse_sweep("it is empty: give NAME=VALUE,VALUE..., such as policy=full,tova");
  return options;
}

// Whether the option does anything beside the policy and the positions of the setting: whether no
// value of it would be refused there.
bool has_effect_in(const RunOptions& setting, const SweptOption& option) {
  const std::string& name = option.name;
  if (name == "policy" || name == "positions" || name == "chunk-tokens" || name == "instruction")
    return true;
  if (name == "cache-size") return is_bounded(setting.cache);
  if (name == "budgets") return traits_of(setting.cache.policy).takes(kTakesMerge);
  if (name == "seed")
    return traits_of(setting.cache.policy).draws ||
           (setting.job_kind != Job::score && setting.generation.sampling.temperature > 0.0);
  RunOptions alone;
  alone.cache.policy = setting.cache.policy;
  alone.cache.positions = setting.cache.positions;
  try {
    for (const std::string& value : option.values) {
      set_swept(alone, name, value);
      check_policy_options(alone.cache);
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<RunOptions> cross_product(const RunOptions& given,
                                      const std::vector<SweptOption>& swept) {
  std::vector<RunOptions> settings{given};
  settings.front().sweep.clear();
  for (const SweptOption& option : swept) {
    if (settings.size() * option.values.size() > kMostSettings * kMostSettings)
      throw Error(ExitCode::configuration,
                  "--sweep: more combinations than this program tries: "
                  "give fewer values");
    std::vector<RunOptions> more;
    for (const RunOptions& setting : settings) {
      for (const std::string& value : option.values)
        set_swept(more.emplace_back(setting), option.name, value);
    }
    settings = std::move(more);
  }
  return settings;
}

// What tells two settings apart.
std::vector<std::string> swept_values(const RunOptions& options,
                                      const std::vector<SweptOption>& swept) {
  std::vector<std::string> values;
  for (const SweptOption& option : swept) values.push_back(swept_value(options, option.name));
  return values;
}

bool varies(const Sweep& sweep, const SweptOption& option) {
  std::vector<std::string> values;
  for (const SweepSetting& s : sweep.settings) {
    if (has_effect_in(s.options, option)) values.push_back(swept_value(s.options, option.name));
  }
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end();
}

// A file goes by its name, in letters that neither part groups of HDF5 nor end a run's path.
std::string name_of_value(const std::string& value) {
  std::string name = value.substr(value.find_last_of('/') + 1);
  for (char& c : name) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_' || c == '+';
    if (!is_plain) c = '_';
  }
  return name;
}

void name_settings(Sweep& sweep, const std::vector<SweptOption>& swept) {
  for (SweepSetting& s : sweep.settings) s.name = text_of(s.options.cache.policy);
  const auto name_by = [&](const SweptOption& option, const std::string& front) {
    if (!varies(sweep, option)) return;
    for (SweepSetting& s : sweep.settings) {
      if (has_effect_in(s.options, option))
        s.name += front + name_of_value(swept_value(s.options, option.name));
    }
  };
  for (const SweptOption& option : swept) {
    if (option.name == "cache-size") name_by(option, "-");
  }
  for (const SweptOption& option : swept) {
    if (option.name != "policy" && option.name != "cache-size")
      name_by(option, "-" + option.name + "=");
  }
  std::set<std::string> names;
  for (const SweepSetting& s : sweep.settings) {
    if (!names.insert(s.name).second)
      refuse_sweep("two settings would be named " + s.name +
                   ": give the files of budgets other names");
  }
}

// What a run of each setting alone would be refused for.
void check_swept_settings(const Sweep& sweep) {
  for (const SweepSetting& s : sweep.settings) {
    try {
      validate(s.options);
    } catch (const Error& e) {
      throw Error(e.code(), "--sweep, setting " + s.name + ": " + e.what());
    }
  }
}

}  // namespace

std::size_t Sweep::baseline() const {
  const auto full = std::find_if(settings.begin(), settings.end(), [](const SweepSetting& s) {
    return s.options.cache.policy == Policy::full;
  });
  return full == settings.end() ? 0 : static_cast<std::size_t>(full - settings.begin());
}

std::string Sweep::names() const {
  std::string text;
  for (const SweepSetting& s : settings) text += (text.empty() ? "" : ", ") + s.name;
  return text;
}

std::vector<CacheOptions> caches_of(const RunOptions& options) {
  if (!is_sweep(options)) return {cache_of(options)};
  std::vector<CacheOptions> caches;
  for (const SweepSetting& s : sweep_of(options).settings) caches.push_back(cache_of(s.options));
  return caches;
}

std::vector<std::string> budget_notes(const RunOptions& options, std::string_view model) {
  std::vector<std::string> notes;
  const auto look = [&](const RunOptions& o) {
    if (o.budgets == kNoBudgets) return;
    const BudgetTable table = read_budgets(o.budgets);
    std::string note;
    if (table.merge != o.cache.merge) note += " with --merge " + text_of(table.merge);
    if (!model.empty() && !model.ends_with(table.model)) note += " on " + table.model;
    if (note.empty()) return;
    note = o.budgets + " was measured" + note;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  };
  if (!is_sweep(options)) {
    look(options);
  } else {
    for (const SweepSetting& s : sweep_of(options).settings) look(s.options);
  }
  return notes;
}

Sweep sweep_of(const RunOptions& options) {
  const std::vector<SweptOption> swept = read_swept_options(options.sweep, options.job_kind);
  RunOptions defaults;
  defaults.job_kind = options.job_kind;
  Sweep sweep;
  std::vector<std::pair<std::string, std::string>> passed_over;  // option, policy
  std::vector<std::vector<std::string>> seen;
  for (RunOptions& setting : cross_product(options, swept)) {
    for (const SweptOption& option : swept) {
      if (has_effect_in(setting, option)) continue;
      set_swept(setting, option.name, swept_value(defaults, option.name));
      const std::pair what{option.name, option.name == "clip-distance"
                                            ? "positions=" + text_of(setting.cache.positions)
                                            : "policy=" + text_of(setting.cache.policy)};
      if (std::find(passed_over.begin(), passed_over.end(), what) == passed_over.end())
        passed_over.push_back(what);
    }
    std::vector<std::string> values = swept_values(setting, swept);
    if (std::find(seen.begin(), seen.end(), values) != seen.end()) continue;
    seen.push_back(std::move(values));
    sweep.settings.push_back({.name = "", .options = std::move(setting)});
  }
  if (sweep.settings.size() > kMostSettings)
    throw Error(ExitCode::configuration, "--sweep: " + std::to_string(sweep.settings.size()) +
                                             " settings are more than " +
                                             std::to_string(kMostSettings) + ": give fewer values");
  for (const auto& [option, where] : passed_over)
    sweep.notes.push_back("--sweep: " + option + " has no effect with " + where +
                          ": settings that differ in nothing else are one");
  name_settings(sweep, swept);
  check_swept_settings(sweep);
  return sweep;
}

}  // namespace tovamill
