#include "engine/tokenizer/word_table.h"

#include <algorithm>
#include <utility>

namespace tovamill {

void WordTable::insert(std::string_view word, TokenId id) {
  if (2 * (n_words_ + 1) > slots_.size()) {
    const auto old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.id != kNoToken) place(slot, hash_of(view(slot)));
    }
  }
  const std::uint64_t hash = hash_of(word);
  const Slot slot{static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(word.size()),
                  bytes_.size(), id};
  bytes_ += word;
  place(slot, hash);
  ++n_words_;
  longest_ = std::max(longest_, word.size());
}

void WordTable::place(const Slot& slot, std::uint64_t hash) {
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id != kNoToken) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = slot;
}

}  // namespace tovamill
