// What --nll-by-position and --analyze record of a document, beside DocumentRecord's own numbers.
// Sums of counts, and of NLL in the order of the tokens: the same however often a run was stopped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tovamill {

class ByteReader;
class ByteWriter;

// Bins of positions, counted in the document or chunk: of `width` tokens each, or with width 0 of a
// quarter of a power of two, below 16 of a power of two, the first one from 0.
struct PositionBins {
  std::uint64_t width = 0;

  std::size_t index(std::uint64_t position) const;
  std::uint64_t first(std::size_t bin) const;  // position of the bin
};

struct PositionSum {
  std::uint64_t n = 0;  // scored tokens
  double nll = 0.0;     // nats

  bool operator==(const PositionSum&) const = default;
};

// The tokens of a class in one layer, counted for each eviction group.
struct ClassCounters {
  std::uint64_t n_evictions = 0, evicted_steps = 0;   // steps: from their own to the last query ...
  std::uint64_t n_survivors = 0, survivor_steps = 0;  // ... or the last step of the chunk
  // Steps at which they were in a full state: of those from step k on, k the size of the state.
  std::uint64_t full_steps = 0;

  bool operator==(const ClassCounters&) const = default;
};

struct ClassRecord {
  std::string name;
  bool is_tag = false;         // of a lexicon
  std::uint64_t n_tokens = 0;  // of the document
  std::vector<ClassCounters> layers;

  bool operator==(const ClassRecord&) const = default;
};

// All tokens in one layer.
struct StateCounters {
  std::uint64_t full_steps = 0;         // as of ClassCounters
  std::uint64_t recent_full_steps = 0;  // of these, with the token among the newest k / 2
  // Of the first tokens of chunks: how many, those that were evicted, the steps that they stayed.
  std::uint64_t n_first = 0, n_first_evictions = 0, first_steps = 0;

  bool operator==(const StateCounters&) const = default;
};

struct DocumentAnalysis {
  bool has_positions = false;          // --nll-by-position
  PositionBins bins;                   // of these
  std::vector<PositionSum> positions;  // by bin, up to the last that the document reaches
  std::vector<StateCounters> states;   // --analyze: (n_layers)
  std::vector<ClassRecord> classes;    // (classes that occur), then tags

  bool is_empty() const { return !has_positions && states.empty() && classes.empty(); }
  bool operator==(const DocumentAnalysis& o) const {
    return has_positions == o.has_positions && bins.width == o.bins.width &&
           positions == o.positions && states == o.states && classes == o.classes;
  }
};

// Part of a record's bytes. `get` checks every length against the bytes, and that the classes have
// as many layers as the states; fails as ByteReader does.
void put(ByteWriter& out, const DocumentAnalysis& analysis);
void get(ByteReader& in, DocumentAnalysis& analysis);

}  // namespace tovamill
