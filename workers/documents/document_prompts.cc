#include "workers/documents/document_prompts.h"

#include <algorithm>
#include <span>

#include "io/model/digest.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

// A shorter beginning is read again by each answer: a copy of a state would cost more.
constexpr std::size_t kFewestShared = 64;

}  // namespace

std::string rejection_of_tokens(const std::vector<TokenId>& ids, std::int32_t vocab_size) {
  if (ids.empty()) return "its prompt has no token";
  const TokenId most = *std::max_element(ids.begin(), ids.end());
  if (most < vocab_size) return "";
  return "its text has the token " + std::to_string(most) + ", but the model only has " +
         counted(vocab_size, "token");
}

// Only what differs from the first prompt is kept: there may be many questions to a long document.
// What they share leaves each a token at least.
DocumentPrompts::DocumentPrompts(const Prompting& prompting, const CorpusRecord& record,
                                 const std::string& text, std::int32_t samples,
                                 std::int32_t vocab_size, bool pins_instruction) {
  const std::size_t n_asked = prompting.n_questions(record),
                    n_prompts = std::max<std::size_t>(1, n_asked);
  std::vector<TokenId> first;
  std::vector<std::size_t> n_common;
  for (std::size_t q = 0; q < n_prompts; ++q) {
    PromptIds prompt = prompting.prompt(text, n_asked > 0 ? &record.questions[q] : nullptr);
    std::vector<TokenId>& ids = prompt.ids;
    rejection_ = rejection_of_tokens(ids, vocab_size);
    if (!rejection_.empty()) return;
    if (q == 0) first = ids;
    const auto border = std::mismatch(ids.begin(), ids.end() - 1, first.begin(), first.end()).first;
    n_common.push_back(static_cast<std::size_t>(border - ids.begin()));
    tails_.emplace_back(border, ids.end());
    pins_.push_back(pins_instruction ? static_cast<std::int32_t>(prompt.n_leading) : 0);
  }
  share(first, n_common, n_prompts * static_cast<std::size_t>(samples));
}

void DocumentPrompts::share(const std::vector<TokenId>& first,
                            const std::vector<std::size_t>& n_common, std::size_t n_answers) {
  std::size_t n = *std::min_element(n_common.begin(), n_common.end());
  const auto pinned = [&](std::int32_t pin) { return std::min(static_cast<std::size_t>(pin), n); };
  const bool pins_alike = std::all_of(pins_.begin(), pins_.end(), [&](std::int32_t pin) {
    return pinned(pin) == pinned(pins_.front());
  });
  if (n_answers == 1 || n < kFewestShared || !pins_alike) n = 0;
  const auto border = first.begin() + static_cast<std::ptrdiff_t>(n);
  if (n > 0) shared_ = std::make_shared<const std::vector<TokenId>>(first.begin(), border);
  for (std::size_t q = 0; q < tails_.size(); ++q)
    tails_[q].insert(tails_[q].begin(), border,
                     first.begin() + static_cast<std::ptrdiff_t>(n_common[q]));
}

std::size_t DocumentPrompts::longest_tail() const {
  std::size_t longest = 0;
  for (const std::vector<TokenId>& tail : tails_) longest = std::max(longest, tail.size());
  return longest;
}

void DocumentPrompts::add_to(Digest& digest) const {
  digest.add(std::as_bytes(std::span(pins_)));
  if (shared_) digest.add(std::as_bytes(std::span(*shared_)));
  for (const auto& tail : tails_) digest.add(std::as_bytes(std::span(tail)));
}

}  // namespace tovamill
