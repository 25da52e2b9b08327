#include "kernels/reference/merge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/types/merge_rule.h"

namespace tovamill::reference {
namespace {

using Row = std::vector<double>;

// Logarithm of what a key with a bias weighs for the queries of a head: their mean, and a share of
// their variance, the same for both components of a rotary pair.
struct Queries {
  Row mean, variance;  // (head_dim)
  double log_mass(const Row& key, double scale) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < key.size(); ++i) {
      const double k = scale * key[i];
      sum += k * mean[i] + kMergeVarianceShare * k * k * variance[i];
    }
    return sum;
  }
};

Queries moments_of(const QuerySums& sums, double n) {
  const std::size_t half = sums.first.size() / 2;
  Queries q{.mean = sums.first, .variance = sums.second};
  for (double& x : q.mean) x /= n;
  for (std::size_t i = 0; i < sums.first.size(); ++i)
    q.variance[i] = sums.second[i] / n - q.mean[i] * q.mean[i];
  for (std::size_t i = 0; i < half; ++i)
    q.variance[i] = q.variance[i + half] = (q.variance[i] + q.variance[i + half]) / 2;
  return q;
}

// What is clustered: merged tokens, then those that left.
struct Point {
  const Row *key, *value;
  double position, bias;
  double mass = 0.0;  // mean share of the softmax over the heads
};

double squared_distance(const Row& a, const Row& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// The logarithm of each head's sum over all that there is.
Row log_sums(const std::vector<Queries>& heads, std::span<const Row> live,
             const std::vector<Point>& points, double scale) {
  Row sums;
  for (const Queries& head : heads) {
    Row logs;
    for (const Row& key : live) logs.push_back(head.log_mass(key, scale));
    for (const Point& p : points) logs.push_back(head.log_mass(*p.key, scale) + p.bias);
    const double highest = *std::max_element(logs.begin(), logs.end());
    double sum = 0.0;
    for (const double l : logs) sum += std::exp(l - highest);
    sums.push_back(highest + std::log(sum));
  }
  return sums;
}

double mean_mass(const std::vector<Queries>& heads, const Row& log_sums, const Row& key,
                 double bias, double scale) {
  double mass = 0.0;
  for (std::size_t h = 0; h < heads.size(); ++h)
    mass += std::exp(heads[h].log_mass(key, scale) + bias - log_sums[h]);
  return mass / static_cast<double>(heads.size());
}

// The first centre of each place, empty where there are not enough points: that of a used place is
// its key, free ones take tokens that left, evenly.
std::vector<Row> first_centres(const MergeState& state) {
  std::vector<Row> centres;
  std::size_t n_free = 0, taken = 0;
  for (const MergedToken& place : state.places) n_free += place.is_used ? 0 : 1;
  const std::size_t n = state.left.size();
  for (const MergedToken& place : state.places) {
    if (place.is_used) {
      centres.push_back(place.key);
    } else if (n <= n_free) {
      centres.push_back(taken < n ? state.left[taken].key : Row{});
      ++taken;
    } else {
      const std::size_t at = n_free == 1 ? 0 : taken * (n - 1) / (n_free - 1);
      centres.push_back(state.left[at].key);
      ++taken;
    }
  }
  return centres;
}

std::size_t nearest(const Row& key, const std::vector<Row>& centres) {
  std::size_t best = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < centres.size(); ++c) {
    if (centres[c].empty()) continue;
    const double d = squared_distance(key, centres[c]);
    if (d < lowest) {
      lowest = d;
      best = c;
    }
  }
  return best;
}

double weight_of(const Point& p) { return std::max(p.mass, kLowestMergeMass); }

// Which place each point belongs to: k-means over the keys, weighted by the masses.
std::vector<std::size_t> cluster(const std::vector<Point>& points, std::vector<Row> centres) {
  std::vector<std::size_t> places(points.size());
  for (std::int32_t round = 0;; ++round) {
    for (std::size_t i = 0; i < points.size(); ++i) places[i] = nearest(*points[i].key, centres);
    if (round == kMergeRounds) return places;
    for (std::size_t c = 0; c < centres.size(); ++c) {
      double weight = 0.0;
      Row sum(centres[c].size(), 0.0);
      for (std::size_t i = 0; i < points.size(); ++i) {
        if (places[i] != c) continue;
        weight += weight_of(points[i]);
        for (std::size_t d = 0; d < sum.size(); ++d)
          sum[d] += weight_of(points[i]) * (*points[i].key)[d];
      }
      if (weight == 0.0) continue;
      for (double& x : sum) x /= weight;
      centres[c] = sum;
    }
  }
}

// The means of the points of place `c`; its bias without what the softmax makes of it.
MergedToken mean_of(const std::vector<Point>& points, const std::vector<std::size_t>& places,
                    std::size_t c, double& mass) {
  const std::size_t d = points.front().key->size();
  MergedToken m{.key = Row(d, 0.0), .value = Row(d, 0.0)};
  double weight = 0.0;
  mass = 0.0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (places[i] != c) continue;
    const double w = weight_of(points[i]);
    m.is_used = true;
    weight += w;
    mass += w;
    m.position += w * points[i].position;
    for (std::size_t j = 0; j < d; ++j) {
      m.key[j] += w * (*points[i].key)[j];
      m.value[j] += w * (*points[i].value)[j];
    }
  }
  if (!m.is_used) return m;
  m.position /= weight;
  for (double& x : m.key) x /= weight;
  for (double& x : m.value) x /= weight;
  return m;
}

}  // namespace

void add_query(const double* query, std::int32_t head_dim, QuerySums& sums) {
  sums.first.resize(static_cast<std::size_t>(head_dim), 0.0);
  sums.second.resize(static_cast<std::size_t>(head_dim), 0.0);
  for (std::size_t i = 0; i < sums.first.size(); ++i) {
    sums.first[i] += query[i];
    sums.second[i] += query[i] * query[i];
  }
}

void merge(MergeState& state, std::span<const std::vector<double>> live, double scale) {
  if (!state.left.empty()) {
    std::vector<Queries> heads;
    for (const QuerySums& sums : state.queries)
      heads.push_back(moments_of(sums, static_cast<double>(state.n_queries)));
    std::vector<Point> points;
    for (const MergedToken& m : state.places) {
      if (m.is_used) points.push_back({&m.key, &m.value, m.position, m.bias});
    }
    for (const LeftToken& t : state.left) points.push_back({&t.key, &t.value, t.position, 0.0});
    const Row sums = log_sums(heads, live, points, scale);
    for (Point& p : points) p.mass = mean_mass(heads, sums, *p.key, p.bias, scale);
    const std::vector<std::size_t> places = cluster(points, first_centres(state));
    std::vector<MergedToken> merged;
    for (std::size_t c = 0; c < state.places.size(); ++c) {
      double mass = 0.0;
      MergedToken m = mean_of(points, places, c, mass);
      if (m.is_used) {
        const double own = mean_mass(heads, sums, m.key, 0.0, scale);
        m.bias = std::clamp(std::log(mass) - std::log(std::max(own, kLowestMergeMass)),
                            -kMostMergeBias, kMostMergeBias);
      }
      merged.push_back(std::move(m));
    }
    state.places = std::move(merged);
    state.left.clear();
  }
  for (QuerySums& sums : state.queries) sums = {};
  state.n_queries = 0;
}

}  // namespace tovamill::reference
