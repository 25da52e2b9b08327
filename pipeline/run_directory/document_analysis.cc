#include "pipeline/run_directory/document_analysis.h"

#include <bit>

#include "io/files/little_endian.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kQuartersFrom = 16;  // below, a power of two is one bin
constexpr std::size_t kBinsBelow = 4;
constexpr std::size_t kLongestClassName = 64;

std::uint64_t power(std::size_t exponent) { return std::uint64_t{1} << exponent; }

template <class Counters, class Visit>
void visit_counters(Counters& c, Visit&& visit) {
  visit(c.n_evictions), visit(c.evicted_steps), visit(c.n_survivors), visit(c.survivor_steps);
  visit(c.full_steps);
}
template <class State, class Visit>
void visit_state(State& s, Visit&& visit) {
  visit(s.full_steps), visit(s.recent_full_steps), visit(s.n_first), visit(s.n_first_evictions);
  visit(s.first_steps);
}
constexpr std::size_t kLeastCounterBytes = 5;

}  // namespace

std::size_t PositionBins::index(std::uint64_t position) const {
  if (width > 0) return static_cast<std::size_t>(position / width);
  const auto octave = static_cast<std::size_t>(position < 2 ? 0 : std::bit_width(position) - 1);
  if (position < kQuartersFrom) return octave;
  return kBinsBelow + 4 * (octave - kBinsBelow) +
         static_cast<std::size_t>((position - power(octave)) >> (octave - 2));
}

std::uint64_t PositionBins::first(std::size_t bin) const {
  if (width > 0) return bin * width;
  if (bin < kBinsBelow) return bin == 0 ? 0 : power(bin);
  const std::size_t octave = kBinsBelow + (bin - kBinsBelow) / 4;
  return power(octave) + ((bin - kBinsBelow) % 4) * power(octave - 2);
}

void put(ByteWriter& out, const DocumentAnalysis& a) {
  out.fixed(static_cast<std::uint8_t>(a.has_positions));
  out.varint(a.bins.width);
  out.varint(a.positions.size());
  for (const PositionSum& p : a.positions) out.varint(p.n), out.fixed(p.nll);
  const auto number = [&](std::uint64_t n) { out.varint(n); };
  out.varint(a.states.size());
  for (const StateCounters& s : a.states) visit_state(s, number);
  out.varint(a.classes.size());
  for (const ClassRecord& c : a.classes) {
    out.text(c.name);
    out.fixed(static_cast<std::uint8_t>(c.is_tag));
    out.varint(c.n_tokens);
    for (const ClassCounters& layer : c.layers) visit_counters(layer, number);
  }
}

void get(ByteReader& in, DocumentAnalysis& a) {
  const auto flag = [&] {
    const auto value = in.fixed<std::uint8_t>();
    if (value > 1) in.fail("a flag of its analysis is neither 0 nor 1");
    return value == 1;
  };
  const auto number = [&](std::uint64_t& n) { n = in.varint(); };
  a.has_positions = flag();
  a.bins.width = in.varint();
  a.positions.resize(in.count(1 + sizeof(double)));
  for (PositionSum& p : a.positions) p.n = in.varint(), p.nll = in.fixed<double>();
  a.states.resize(in.count(kLeastCounterBytes));
  for (StateCounters& s : a.states) visit_state(s, number);
  a.classes.resize(in.count(3 + kLeastCounterBytes * a.states.size()));
  for (ClassRecord& c : a.classes) {
    c.name = in.text();
    if (c.name.empty() || c.name.size() > kLongestClassName)
      in.fail("the name of a class is empty or too long");
    c.is_tag = flag();
    c.n_tokens = in.varint();
    c.layers.resize(a.states.size());
    for (ClassCounters& layer : c.layers) visit_counters(layer, number);
  }
}

}  // namespace tovamill
