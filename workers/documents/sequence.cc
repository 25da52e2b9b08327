#include "workers/documents/sequence.h"

#include <algorithm>

#include "io/files/little_endian.h"
#include "kernels/types/error.h"

namespace tovamill {

Sequence::Sequence(const SequenceSetting& setting, SequencePlan plan)
    : setting_(setting),
      plan_(std::move(plan)),
      n_shared_(plan_.shared ? plan_.shared->size() : 0),
      text_(*setting.tokenizer, setting.stop,
            setting.channels && setting.channels->continue_prompt(plan_.own) ? &*setting.channels
                                                                             : nullptr),
      first_evictions_(setting.n_layers, setting.n_eviction_groups) {
  if (setting.sampling.repetition_penalty == 1.0 || plan_.prefill_only) return;
  seen_ = TokenSet(setting.vocab_size);
  for (std::size_t i = 0; i < n_prompt(); ++i) seen_.insert(token(i));
}

TokenId Sequence::token(std::size_t position) const {
  if (position < n_shared_) return (*plan_.shared)[position];
  if (position < n_prompt()) return plan_.own[position - n_shared_];
  return text_.ids()[position - n_prompt()];
}

std::uint64_t sequence_bytes(const SequenceSetting& setting, const StatePool& pool,
                             std::size_t n_prompt, bool prefill_only) {
  const auto n = static_cast<std::int64_t>(n_prompt);
  const std::int64_t written = prefill_only ? 0 : setting.max_new_tokens;
  return pool.bytes_of(n + written, setting.keeps_prompt ? n : 0);
}

void Sequence::reserve(StateKeeper& states) {
  const auto n = static_cast<std::int64_t>(n_prompt());
  if (setting_.keeps_prompt && is_prefilling()) {
    states.reserve(*state_.get(), n, true);
  } else if (!setting_.keeps_prompt) {
    states.reserve(*state_.get(), n + (plan_.prefill_only ? 0 : setting_.max_new_tokens), false);
  }
}

void Sequence::branch_from(const Sequence& other, StateKeeper& states) {
  states.copy(*other.state_.get(), *state_.get());
  n_taken_ = other.n_taken_;
  first_evictions_ = other.first_evictions_;
}

void Sequence::adopt_state_of(Sequence& other) {
  state_ = std::move(other.state_);
  n_taken_ = other.n_taken_;
  first_evictions_ = other.first_evictions_;
}

// Blocks end at multiples of the block size, where the shared part ends, and with --prefill full
// before the prompt's last token, whose query decides what stays.
std::int32_t Sequence::n_next() const {
  if (done_) return 0;
  if (!is_prefilling()) return 1;
  const auto block = static_cast<std::size_t>(setting_.block);
  std::size_t end = std::min(n_prompt(), (n_taken_ / block + 1) * block);
  if (n_taken_ < n_shared_) end = std::min(end, n_shared_);
  if (setting_.keeps_prompt && !plan_.prefill_only && n_taken_ + 1 < n_prompt())
    end = std::min(end, n_prompt() - 1);
  return static_cast<std::int32_t>(end - n_taken_);
}

bool Sequence::samples_next() const {
  return !done_ && !plan_.prefill_only &&
         n_taken_ + static_cast<std::size_t>(n_next()) >= n_prompt();
}

StepBlock Sequence::next_block(std::int32_t first_row, std::vector<std::int32_t>& ids) const {
  const std::int32_t n = n_next();
  for (std::int32_t i = 0; i < n; ++i) ids.push_back(token(n_taken_ + static_cast<std::size_t>(i)));
  const bool is_prompt_end =
      !plan_.prefill_only && n_taken_ + static_cast<std::size_t>(n) >= n_prompt();
  return {.state = state_.get(),
          .first_row = first_row,
          .n_tokens = n,
          .position = static_cast<std::int64_t>(n_taken_),
          .pin = plan_.pin,
          .random_key = plan_.random_key,
          .keeps_all = setting_.keeps_prompt && !is_prompt_end,
          .asks_positions = samples_next() &&
                            n_written() + 1 >= static_cast<std::size_t>(setting_.max_new_tokens)};
}

void Sequence::advance(std::int32_t n) {
  n_taken_ += static_cast<std::size_t>(n);
  if (plan_.prefill_only && !is_prefilling()) done_ = true;
}

void Sequence::choose(std::span<float> logits, Sampler& sampler) {
  const bool is_short = n_written() < static_cast<std::size_t>(setting_.min_new_tokens);
  append(sampler.choose(
      logits, seen_,
      is_short ? std::span<const TokenId>(setting_.end_ids) : std::span<const TokenId>(),
      {.text = plan_.random_text, .position = n_written()}));
}

void Sequence::append(TokenId id) {
  if (id < 0) {
    done_ = failed_ = true;
    return;
  }
  write(id);
}

void Sequence::write(TokenId id) {
  const auto n = static_cast<std::int64_t>(n_written()) + 1;
  const bool stops = text_.push(id, n >= setting_.min_new_tokens);
  if (setting_.sampling.repetition_penalty != 1.0) seen_.insert(id);
  if (stops || std::binary_search(setting_.end_ids.begin(), setting_.end_ids.end(), id)) {
    done_ = true;
    reason_ = FinishReason::stop;
  } else if (n >= setting_.max_new_tokens) {
    done_ = true;
    reason_ = FinishReason::length;
  }
}

// varint tokens taken; written ids; first evictions; the state to the end, or nothing.
void Sequence::save(const StateKeeper& states, std::vector<std::byte>& out) const {
  ByteWriter front;
  front.varint(n_taken_);
  front.array(text_.ids());
  front.array(first_evictions_.steps());
  out = front.take();
  if (waits_with_state()) {
    out.insert(out.end(), saved_state_.begin(), saved_state_.end());
  } else if (has_state()) {
    states.save(*state_.get(), out);
  }
}

void Sequence::restore(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  const std::uint64_t n_taken = in.varint();
  const std::vector<std::int32_t> ids = in.array<std::int32_t>();
  std::vector<std::int32_t> first = in.array<std::int32_t>();
  const std::span<const std::byte> state = in.rest();
  const bool has_read = n_taken >= n_prompt();
  const std::uint64_t most = n_prompt() + ids.size();
  if (first.size() != first_evictions_.steps().size() || n_taken > most || state.empty() ||
      (!ids.empty() && (!has_read || n_taken + 1 != most)) ||
      (has_read && ids.empty() && !plan_.prefill_only))
    in.fail("a sequence of it does not stand between two steps");
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= setting_.vocab_size || done_) in.fail("a sequence holds wrong tokens");
    write(id);
  }
  if (done_) in.fail("a sequence is at its end");
  n_taken_ = static_cast<std::size_t>(n_taken);
  if (plan_.prefill_only && !is_prefilling()) done_ = true;
  first_evictions_.steps() = std::move(first);
  saved_state_.assign(state.begin(), state.end());
}

void Sequence::load_state(StateKeeper& states) {
  const std::int64_t at = states.load(*state_.get(), saved_state_);
  std::vector<std::byte>().swap(saved_state_);
  if (at != static_cast<std::int64_t>(n_taken_))
    throw BadData("a saved state stands at another token than its document");
}

}  // namespace tovamill
