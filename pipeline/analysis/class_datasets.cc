#include "pipeline/analysis/class_datasets.h"

#include <algorithm>
#include <limits>

#include "kernels/types/error.h"
#include "kernels/types/token_class.h"

namespace tovamill {
namespace {

constexpr const char* kAnalysisDefinition =
    "a token has an entry in the state of each layer and deciding group of heads; the lifetime of "
    "an "
    "entry are the steps from its token's own to the last query that attended to it, of those "
    "still "
    "in the state at the end of their chunk (survivors, censored) to its last step: mean_lifetime "
    "= "
    "(evicted_steps + survivor_steps) / (evictions + survivors); standard errors over documents "
    "(ratio estimator); shares of the state are over all steps from step k on, k the size of the "
    "state, when it is full";

double ratio_of(std::uint64_t part, std::uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

void add_counters(ClassCounters& sums, const ClassCounters& c) {
  sums.n_evictions += c.n_evictions;
  sums.evicted_steps += c.evicted_steps;
  sums.n_survivors += c.n_survivors;
  sums.survivor_steps += c.survivor_steps;
  sums.full_steps += c.full_steps;
}

void add_state(StateCounters& sums, const StateCounters& s) {
  sums.full_steps += s.full_steps;
  sums.recent_full_steps += s.recent_full_steps;
  sums.n_first += s.n_first;
  sums.n_first_evictions += s.n_first_evictions;
  sums.first_steps += s.first_steps;
}

}  // namespace

void ClassDatasets::add(const DocumentRecord& r) {
  if (r.status == DocumentRecord::Status::failed) return;
  const std::vector<StateCounters>& states = r.analysis.states;
  const bool is_first = states_.empty();
  if (is_first) states_.resize(states.size());
  if (states.size() != states_.size() || (lacks_ && !states.empty()))
    throw BadData("the record of " + r.file + " at byte " + std::to_string(r.offset) +
                  " does not hold the classes of tokens that those before hold or lack: the "
                  "journals are of different options or models");
  lacks_ = states.empty();
  for (std::size_t l = 0; l < states.size(); ++l) add_state(states_[l], states[l]);
  for (const ClassRecord& c : r.analysis.classes) {
    Class& sums = classes_[{c.is_tag, c.name}];
    sums.n_tokens += c.n_tokens;
    sums.sums.resize(states_.size());
    sums.lifetimes.resize(states_.size());
    double all_steps = 0.0, all_entries = 0.0;
    for (std::size_t l = 0; l < states.size(); ++l) {
      const ClassCounters& layer = c.layers[l];
      add_counters(sums.sums[l], layer);
      const auto steps = static_cast<double>(layer.evicted_steps + layer.survivor_steps),
                 entries = static_cast<double>(layer.n_evictions + layer.n_survivors);
      sums.lifetimes[l].add(steps, entries);
      all_steps += steps, all_entries += entries;
    }
    sums.lifetime.add(all_steps, all_entries);
  }
}

// Classes as TokenClass has them, tags by name.
ClassDatasets::Classes ClassDatasets::classes_of(bool tags) const {
  Classes classes;
  for (const auto& [key, sums] : classes_) {
    if (key.first == tags) classes.emplace_back(key.second, &sums);
  }
  const auto place = [](const std::string& name) {
    return std::find(kTokenClassNames.begin(), kTokenClassNames.end(), name);
  };
  if (!tags)
    std::stable_sort(classes.begin(), classes.end(),
                     [&](const auto& a, const auto& b) { return place(a.first) < place(b.first); });
  return classes;
}

void ClassDatasets::write(Hdf5File& file) const {
  if (states_.empty()) return;
  file.create_group("/analysis");
  std::vector<std::int32_t> layers(states_.size());
  for (std::size_t l = 0; l < layers.size(); ++l) layers[l] = static_cast<std::int32_t>(l);
  file.create_scale<std::int32_t>("/analysis/layer", layers, "layer, from the input");
  file.set_attribute("/analysis", "definition", std::string(kAnalysisDefinition));
  write_layers(file);
  for (const bool tags : {false, true}) {
    const Classes classes = classes_of(tags);
    if (!classes.empty())
      write_classes(file, tags ? "/analysis/tags" : "/analysis/classes", classes);
  }
}

void ClassDatasets::write_layers(Hdf5File& file) const {
  const auto per_layer = [&]<class T>(const char* name, const char* long_name, const char* units,
                                      auto value) {
    Hdf5Appender<T> out(file, std::string("/analysis/") + name,
                        {.long_name = long_name,
                         .units = units,
                         .scales = {"/analysis/layer"},
                         .expected = states_.size()});
    for (const StateCounters& s : states_) out.append(static_cast<T>(value(s)));
    out.finish();
  };
  using U = std::uint64_t;
  per_layer.operator()<U>("full_steps", "tokens in full states, summed over steps", "tokens",
                          [](const StateCounters& s) { return s.full_steps; });
  per_layer.operator()<double>(
      "recent_half_share", "share of these that were among the newest k / 2 tokens", "1",
      [](const StateCounters& s) { return ratio_of(s.recent_full_steps, s.full_steps); });
  per_layer.operator()<U>("first_tokens", "first tokens of chunks", "tokens",
                          [](const StateCounters& s) { return s.n_first; });
  per_layer.operator()<U>("first_token_evictions", "of these, those that were evicted", "tokens",
                          [](const StateCounters& s) { return s.n_first_evictions; });
  per_layer.operator()<double>(
      "first_token_lifetime", "mean lifetime of the first tokens of chunks", "steps",
      [](const StateCounters& s) { return ratio_of(s.first_steps, s.n_first); });
}

void ClassDatasets::write_classes(Hdf5File& file, const std::string& group,
                                  const Classes& classes) const {
  file.create_group(group);
  file.create_dimension(group + "/class", classes.size(), "class of tokens, named by `name`");
  const auto about = [&](const char* long_name, const char* units) {
    return Hdf5DatasetOptions{.long_name = long_name,
                              .units = units,
                              .scales = {group + "/class"},
                              .expected = classes.size()};
  };
  std::size_t longest = 0;
  std::uint64_t n_tokens = 0;
  for (const auto& [name, c] : classes) {
    longest = std::max(longest, name.size());
    n_tokens += c->n_tokens;
  }
  Hdf5StringAppender names(file, group + "/name", about("name of the class", "1"), longest);
  for (const auto& [name, c] : classes) names.append(name);
  names.finish();
  const auto per_class = [&]<class T>(const char* name, const char* long_name, const char* units,
                                      auto value) {
    Hdf5Appender<T> out(file, group + "/" + name, about(long_name, units));
    for (const auto& [class_name, c] : classes) out.append(static_cast<T>(value(*c)));
    out.finish();
  };
  per_class.operator()<std::uint64_t>("tokens", "tokens of the documents", "tokens",
                                      [](const Class& c) { return c.n_tokens; });
  per_class.operator()<double>("token_share", "share of the tokens of the documents", "1",
                               [&](const Class& c) { return ratio_of(c.n_tokens, n_tokens); });
  per_class.operator()<double>("lifetime", "mean lifetime over all layers", "steps",
                               [](const Class& c) { return c.lifetime.estimate().value; });
  per_class.operator()<double>("lifetime_se", "its standard error over documents", "steps",
                               [](const Class& c) { return c.lifetime.estimate().standard_error; });
  write_by_layer(file, group, classes);
}

void ClassDatasets::write_by_layer(Hdf5File& file, const std::string& group,
                                   const Classes& classes) const {
  const auto table = [&]<class T>(const char* name, const char* long_name, const char* units,
                                  auto value) {
    Hdf5Appender<T> out(file, group + "/" + name,
                        {.long_name = long_name,
                         .units = units,
                         .scales = {"/analysis/layer", group + "/class"},
                         .expected = classes.size()},
                        states_.size());
    std::vector<T> values;
    for (std::size_t l = 0; l < states_.size(); ++l) {
      for (const auto& [class_name, c] : classes) values.push_back(value(*c, l));
    }
    out.append(std::span<const T>(values));
    out.finish();
  };
  using U = std::uint64_t;
  table.operator()<U>("evictions", "entries evicted from the state", "tokens",
                      [](const Class& c, std::size_t l) { return c.sums[l].n_evictions; });
  table.operator()<U>("evicted_steps", "their lifetimes, summed", "steps",
                      [](const Class& c, std::size_t l) { return c.sums[l].evicted_steps; });
  table.operator()<U>("survivors", "entries in the state at the ends of chunks", "tokens",
                      [](const Class& c, std::size_t l) { return c.sums[l].n_survivors; });
  table.operator()<U>("survivor_steps", "their ages then, summed", "steps",
                      [](const Class& c, std::size_t l) { return c.sums[l].survivor_steps; });
  table.operator()<double>(
      "mean_lifetime", "mean lifetime, of survivors to the end of the chunk", "steps",
      [](const Class& c, std::size_t l) { return c.lifetimes[l].estimate().value; });
  table.operator()<double>(
      "mean_lifetime_se", "its standard error over documents", "steps",
      [](const Class& c, std::size_t l) { return c.lifetimes[l].estimate().standard_error; });
  table.operator()<double>("state_share", "share of the tokens in full states", "1",
                           [&](const Class& c, std::size_t l) {
                             return ratio_of(c.sums[l].full_steps, states_[l].full_steps);
                           });
}

}  // namespace tovamill
