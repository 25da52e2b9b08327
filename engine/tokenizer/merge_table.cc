#include "engine/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "engine/tokenizer/token_pair.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::size_t kShort =
    40;  // symbols; up to here scanning for the lowest rank is faster than a heap
constexpr std::uint32_t kNoLink = std::numeric_limits<std::uint32_t>::max();

// The heap's order: its top is the lowest rank, then the leftmost.
bool comes_later(const MergeScratch::Candidate& a, const MergeScratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges)
    : entries_(std::bit_ceil(2 * merges.size() + 2)), mask_(entries_.size() - 1) {
  for (const Merge& merge : merges) {
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = hash_of(pair) & mask_;
    while (entries_[at].pair != kNone && entries_[at].pair != pair) at = (at + 1) & mask_;
    entries_[at] = {pair, merge.rank, merge.result};
  }
}

const MergeTable::Entry& MergeTable::find(TokenId left, TokenId right) const {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t at = hash_of(pair) & mask_;
  while (entries_[at].pair != kNone && entries_[at].pair != pair) at = (at + 1) & mask_;
  return entries_[at];
}

void MergeTable::apply(std::vector<TokenId>& symbols, MergeScratch& scratch) const {
  if (symbols.size() < 2) return;
  if (symbols.size() >= kNoLink)
    throw BadData("a text without a place to cut it is longer than 4 billion symbols: split it");
  if (symbols.size() <= kShort) {
    apply_short(symbols, scratch);
  } else {
    apply_long(symbols, scratch);
  }
}

// candidates[i] is the merge of symbols i and i+1.
void MergeTable::apply_short(std::vector<TokenId>& symbols, MergeScratch& scratch) const {
  auto& pairs = scratch.candidates;
  const auto candidate = [&](std::size_t i) {
    const Entry& entry = find(symbols[i], symbols[i + 1]);
    return MergeScratch::Candidate{entry.rank, 0, entry.result};
  };
  pairs.resize(symbols.size() - 1);
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = candidate(i);
  while (!pairs.empty()) {
    const auto best = std::ranges::min_element(pairs, {}, &MergeScratch::Candidate::rank);
    if (best->rank == kNoRank) break;
    const auto at = static_cast<std::size_t>(best - pairs.begin());
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs.erase(best);
    if (at > 0) pairs[at - 1] = candidate(at - 1);
    if (at < pairs.size()) pairs[at] = candidate(at);
  }
}

// A heap of candidates over a linked list of symbols; a candidate is stale when its pair no longer
// gives its result.
void MergeTable::apply_long(std::vector<TokenId>& symbols, MergeScratch& scratch) const {
  constexpr TokenId kGone = -1;
  auto& heap = scratch.candidates;
  auto& links = scratch.links;
  const auto n = static_cast<std::uint32_t>(symbols.size());
  heap.clear();
  links.resize(n);
  const auto consider = [&](std::uint32_t at) {
    const Entry& entry = find(symbols[at], symbols[links[at].next]);
    if (entry.rank == kNoRank) return false;
    heap.push_back({entry.rank, at, entry.result});
    return true;
  };
  for (std::uint32_t i = 0; i < n; ++i)
    links[i] = {i == 0 ? kNoLink : i - 1, i + 1 == n ? kNoLink : i + 1};
  for (std::uint32_t i = 0; i + 1 < n; ++i) consider(i);
  std::ranges::make_heap(heap, comes_later);
  while (!heap.empty()) {
    std::ranges::pop_heap(heap, comes_later);
    const auto [rank, at, result] = heap.back();
    heap.pop_back();
    const std::uint32_t right = links[at].next;
    if (symbols[at] == kGone || right == kNoLink ||
        find(symbols[at], symbols[right]).result != result)
      continue;
    symbols[at] = result;
    symbols[right] = kGone;
    links[at].next = links[right].next;
    if (links[at].next != kNoLink) links[links[at].next].previous = at;
    if (links[at].previous != kNoLink && consider(links[at].previous))
      std::ranges::push_heap(heap, comes_later);
    if (links[at].next != kNoLink && consider(at)) std::ranges::push_heap(heap, comes_later);
  }
  std::erase(symbols, kGone);
}

}  // namespace tovamill
