#include "pipeline/results/cache_statistics.h"

#include <functional>
#include <limits>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::int32_t kLargestVocabulary = 1 << 24;  // larger ids are damage

void add_to(LogHistogram& sums, const LogHistogram& h) {
  for (std::size_t b = 0; b < h.size(); ++b) sums[b] += h[b];
}

// 0 / 0 is NaN: nothing happened, so there is no mean.
double share(double part, double whole) {
  return whole > 0 ? part / whole : std::numeric_limits<double>::quiet_NaN();
}
double share(std::uint64_t part, std::uint64_t whole) {
  return share(static_cast<double>(part), static_cast<double>(whole));
}

}  // namespace

void CacheStatistics::add(const DocumentRecord& r) {
  if (r.layers.empty()) return;
  if (layers_.empty()) layers_.resize(r.layers.size());
  if (layers_.size() != r.layers.size())
    throw BadData("the record of " + r.file + " at byte " + std::to_string(r.offset) + " has " +
                  std::to_string(r.layers.size()) + " layers, those before have " +
                  std::to_string(layers_.size()) + ": the journals are of different models");
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const LayerCounters& c = r.layers[l];
    LayerCounters& s = layers_[l].sums;
    s.n_evictions += c.n_evictions;
    s.n_attended += c.n_attended;
    s.n_survivors += c.n_survivors;
    s.n_recent += c.n_recent;
    s.evicted_weight += c.evicted_weight;
    add_to(s.lifetime, c.lifetime);
    add_to(s.survivor_age, c.survivor_age);
    add_to(s.first_token_kept, c.first_token_kept);
    add_to(s.first_token_reached, c.first_token_reached);
    layers_[l].n_queries += r.n_tokens * r.n_eviction_groups;
  }
  for (const TokenLifetime& t : r.token_lifetimes) {
    if (t.id < 0 || t.id >= kLargestVocabulary)
      throw BadData("the record of " + r.file + " at byte " + std::to_string(r.offset) +
                    " names the token id " + std::to_string(t.id) +
                    ": the journal is damaged or of another program version");
    const auto id = static_cast<std::size_t>(t.id);
    if (id >= vocabulary_.size()) vocabulary_.resize(id + 1);
    vocabulary_[id].count += t.count;
    vocabulary_[id].lifetime += t.lifetime;
  }
}

void CacheStatistics::write(Hdf5File& file) const {
  if (layers_.empty()) return;
  file.create_group("/cache");
  std::vector<std::int32_t> numbers(layers_.size());
  for (std::size_t l = 0; l < numbers.size(); ++l) numbers[l] = static_cast<std::int32_t>(l);
  file.create_scale<std::int32_t>("/cache/layer", numbers, "layer, from the input");
  std::vector<std::uint64_t> edges(kLogBins), steps(kLogBins);
  for (std::size_t b = 0; b < edges.size(); ++b) steps[b] = edges[b] = std::uint64_t{1} << b;
  edges[0] = 0;
  file.create_scale<std::uint64_t>(
      "/cache/bin", edges, "lower edge of the bin; the upper edge is the next one's lower edge",
      "steps");
  file.create_scale<std::uint64_t>("/cache/step", steps, "step, counted in the chunk", "steps");
  write_layers(file);
  write_vocabulary(file);
}

void CacheStatistics::write_layers(Hdf5File& file) const {
  const auto per_layer = [&]<class T>(const char* name, const char* long_name, const char* units,
                                      const std::function<T(const Layer&)>& value) {
    Hdf5Appender<T> out(file, std::string("/cache/") + name,
                        {.long_name = long_name,
                         .units = units,
                         .scales = {"/cache/layer"},
                         .expected = layers_.size()});
    for (const Layer& layer : layers_) out.append(value(layer));
    out.finish();
  };
  using U = std::uint64_t;
  using F = std::function<U(const Layer&)>;
  using D = std::function<double(const Layer&)>;
  per_layer("evictions", "tokens dropped from the state", "tokens",
            F([](auto& l) { return l.sums.n_evictions; }));
  per_layer("queries", "queries, counted for each group of heads that decides on its own",
            "queries", F([](auto& l) { return l.n_queries; }));
  per_layer("mean_attended", "tokens attended per query", "tokens",
            D([](auto& l) { return share(l.sums.n_attended, l.n_queries); }));
  per_layer("survivors", "tokens in the state at the end of each chunk, summed", "tokens",
            F([](auto& l) { return l.sums.n_survivors; }));
  per_layer("recent_share", "share of the survivors that a window of the same size would also hold",
            "1", D([](auto& l) { return share(l.sums.n_recent, l.sums.n_survivors); }));
  per_layer("mean_evicted_weight",
            "attention weight of a token when it was dropped, mean over evictions", "1",
            D([](auto& l) {
              return share(l.sums.evicted_weight, static_cast<double>(l.sums.n_evictions));
            }));
  per_layer("weight_lost", "attention weight dropped from the state per query", "1", D([](auto& l) {
              return share(l.sums.evicted_weight, static_cast<double>(l.n_queries));
            }));

  const auto per_bin = [&]<class T>(const char* name, const char* scale, const char* long_name,
                                    const char* units,
                                    const std::function<T(const Layer&, std::size_t)>& value) {
    Hdf5Appender<T> out(file, std::string("/cache/") + name,
                        {.long_name = long_name,
                         .units = units,
                         .scales = {"/cache/layer", scale},
                         .expected = kLogBins},
                        layers_.size());
    std::vector<T> values;
    for (const Layer& layer : layers_) {
      for (std::size_t b = 0; b < kLogBins; ++b) values.push_back(value(layer, b));
    }
    out.append(std::span<const T>(values));
    out.finish();
  };
  using FB = std::function<U(const Layer&, std::size_t)>;
  using DB = std::function<double(const Layer&, std::size_t)>;
  per_bin("lifetime", "/cache/bin", "dropped tokens by the steps they lived", "tokens",
          FB([](auto& l, std::size_t b) { return l.sums.lifetime[b]; }));
  per_bin("survivor_age", "/cache/bin", "survivors at the end of each chunk by their age", "tokens",
          FB([](auto& l, std::size_t b) { return l.sums.survivor_age[b]; }));
  per_bin("first_token_reached", "/cache/step", "chunks that reached the step", "chunks",
          FB([](auto& l, std::size_t b) { return l.sums.first_token_reached[b]; }));
  per_bin("first_token_alive", "/cache/step",
          "chunks whose first token was still in the state at the step", "chunks",
          FB([](auto& l, std::size_t b) { return l.sums.first_token_kept[b]; }));
  per_bin("first_token_survival", "/cache/step",
          "share of the chunks whose first token was still in the state", "1",
          DB([](auto& l, std::size_t b) {
            return share(l.sums.first_token_kept[b], l.sums.first_token_reached[b]);
          }));
}

void CacheStatistics::write_vocabulary(Hdf5File& file) const {
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> counts, lifetimes;
  for (std::size_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_[id].count == 0) continue;
    ids.push_back(static_cast<std::int32_t>(id));
    counts.push_back(vocabulary_[id].count);
    lifetimes.push_back(vocabulary_[id].lifetime);
  }
  file.create_scale<std::int32_t>("/cache/token_id", ids,
                                  "vocabulary id; only those that occurred");
  const auto write = [&](const char* path, const char* long_name, const char* units,
                         const std::vector<std::uint64_t>& values) {
    Hdf5Appender<std::uint64_t> out(file, path,
                                    {.long_name = long_name,
                                     .units = units,
                                     .scales = {"/cache/token_id"},
                                     .expected = ids.size()});
    out.append(std::span<const std::uint64_t>(values));
    out.finish();
  };
  write("/cache/token_count", "entries of the id in the states of all layers and head groups",
        "tokens", counts);
  write("/cache/token_lifetime",
        "steps that these entries stayed, summed (to the chunk's end for survivors)", "steps",
        lifetimes);
}

}  // namespace tovamill
