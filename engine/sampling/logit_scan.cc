#include "engine/sampling/logit_scan.h"

#include <array>
#include <limits>

namespace tovamill {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

}  // namespace

float highest_logit(std::span<const float> logits) {
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> lanes;
  lanes.fill(kLowest);
  std::size_t at = 0;
  for (; at + kLanes <= logits.size(); at += kLanes) {
    const float* const x = logits.data() + at;
    for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = x[i] > lanes[i] ? x[i] : lanes[i];
  }
  for (std::size_t i = 0; at + i < logits.size(); ++i) {
    if (logits[at + i] > lanes[i]) lanes[i] = logits[at + i];
  }
  return *std::ranges::max_element(lanes);
}

TokenId first_with_logit(std::span<const float> logits, float value) {
  constexpr std::size_t kBlock = 64;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, logits.size());
    int any = 0;
    for (std::size_t i = begin; i < end; ++i) any |= logits[i] == value;
    if (!any) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (logits[i] == value) return static_cast<TokenId>(i);
    }
  }
  return kNoToken;
}

double sum_probabilities(std::span<const float> logits, const RelativeProbability& probability,
                         std::vector<double>& blocks) {
  constexpr std::size_t kPairs = 4;
  blocks.clear();
  double total = 0.0;
  for (std::size_t begin = 0; begin < logits.size(); begin += kScanBlock) {
    const std::size_t n = std::min(kScanBlock, logits.size() - begin);
    std::array<float, kScanBlock> padded;
    const float* x = logits.data() + begin;
    if (n < kScanBlock) {
      padded.fill(kLowest);
      std::copy_n(x, n, padded.begin());
      x = padded.data();
    }
    std::array<DoublePair, kPairs> lanes{};
    for (std::size_t i = 0; i < kScanBlock; i += 2 * kPairs) {
      for (std::size_t j = 0; j < kPairs; ++j)
        lanes[j] += probability(x[i + 2 * j], x[i + 2 * j + 1]);
    }
    double sum = 0.0;
    for (const DoublePair& lane : lanes) sum += lane[0] + lane[1];
    blocks.push_back(sum);
    total += sum;
  }
  return total;
}

}  // namespace tovamill
