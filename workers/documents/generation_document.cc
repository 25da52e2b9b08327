#include "workers/documents/generation_document.h"

#include <algorithm>
#include <filesystem>

#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "workers/documents/text_scores.h"

namespace tovamill {

// What was written for the chunks, in fewer chunks, which may be longer for that: answers that are
// as long as they may be would not get shorter for ever.
void GenerationDocument::take_place(Answer& answer, std::string source, std::size_t most) const {
  answer.source = std::move(source);
  answer.most_chunks = most;
  answer.chunks = cut(answer.source, most);
}

std::optional<GenerationDocument::Task> GenerationDocument::next_task() const {
  for (std::size_t a = 0; a < answers_.size(); ++a) {
    for (std::size_t p = 0; p < answers_[a].chunks.size(); ++p) {
      if (!answers_[a].chunks[p].is_begun) return Task{a, p};
    }
  }
  return std::nullopt;
}

std::size_t GenerationDocument::n_waiting() const {
  std::size_t n = 0;
  for (const Answer& a : answers_) {
    for (const DocumentChunk& p : a.chunks) n += !p.is_begun;
  }
  return n;
}

std::uint64_t GenerationDocument::random_text(const Task& task) const {
  const Answer& a = answers_[task.answer];
  Digest d;
  d.add(std::string_view(std::filesystem::path(result_.file).filename().string()));
  for (const std::uint64_t n :
       {result_.offset, static_cast<std::uint64_t>(a.question), std::uint64_t{a.sample},
        std::uint64_t{a.level}, static_cast<std::uint64_t>(task.chunk)})
    d.add(n);
  return d.value();
}

// All texts of a document have one key: what they share is read once for all, or by each.
std::uint64_t GenerationDocument::eviction_key(const Task& task) const {
  const std::uint64_t level = answers_[task.answer].level;
  return random_key(setting_.sequence.sampling.seed, result_, level << 32 | task.chunk);
}

SequencePlan GenerationDocument::shared_prefix_plan() const {
  SequencePlan plan;
  plan.random_key = eviction_key({});
  plan.shared = prompts_.shared();
  plan.pin = prompts_.pin(0);
  plan.prefill_only = true;
  return plan;
}

SequencePlan GenerationDocument::plan_of(const Task& task) const {
  const Answer& a = answers_[task.answer];
  SequencePlan plan;
  plan.random_text = random_text(task);
  plan.random_key = eviction_key(task);
  if (setting_.chunk_tokens > 0) {
    PromptIds prompt = prompting_.prompt(*a.chunks[task.chunk].text, question_of(a));
    // The instruction's last token may end elsewhere before another chunk.
    const std::size_t most = setting_.cache_size > 0
                                 ? static_cast<std::size_t>(setting_.cache_size) - 1
                                 : prompt.n_leading;
    if (setting_.pins_instruction)
      plan.pin = static_cast<std::int32_t>(std::min(prompt.n_leading, most));
    plan.own = std::move(prompt.ids);
    return plan;
  }
  plan.shared = prompts_.shared();
  plan.own = prompts_.tail(a.question);
  plan.pin = prompts_.pin(a.question);
  return plan;
}

GenerationDocument::ActiveSequence* GenerationDocument::shared_prefix() {
  return !sequences_.empty() && sequences_.front().is_shared_prefix ? &sequences_.front() : nullptr;
}
const GenerationDocument::ActiveSequence* GenerationDocument::shared_prefix() const {
  return !sequences_.empty() && sequences_.front().is_shared_prefix ? &sequences_.front() : nullptr;
}

std::optional<std::uint64_t> GenerationDocument::wants_state() const {
  if (!rejection_.empty() || has_ended_) return std::nullopt;
  for (const ActiveSequence& s : sequences_) {
    if (s.sequence.waits_with_state() && !s.sequence.has_state())
      return s.is_shared_prefix ? shared_prefix_bytes() : s.sequence.state_bytes(pool_);
  }
  if (shares_ && !shared_prefix_begun_) return shared_prefix_bytes();
  const ActiveSequence* t = shared_prefix();
  if (t != nullptr && !t->sequence.is_done()) return std::nullopt;
  const std::optional<Task> task = next_task();
  if (!task) return std::nullopt;
  if (t != nullptr && t->sequence.has_state() && n_waiting() == 1) return std::nullopt;
  return task_bytes(*task);
}

bool GenerationDocument::waits_with_state() const {
  return std::any_of(sequences_.begin(), sequences_.end(), [](const ActiveSequence& s) {
    return s.sequence.waits_with_state() && !s.sequence.has_state();
  });
}

std::uint64_t GenerationDocument::task_bytes(const Task& task) const {
  std::size_t n = 0;
  if (setting_.chunk_tokens == 0) {
    n = prompts_.n_shared() + prompts_.tail(answers_[task.answer].question).size();
  } else if (setting_.cache_size == 0 || setting_.sequence.keeps_prompt) {
    n = plan_of(task).own.size();  // else it makes no difference
  }
  return sequence_bytes(setting_.sequence, pool_, n, false);
}

GenerationDocument::ActiveSequence& GenerationDocument::begin(const Task& task) {
  Answer& a = answers_[task.answer];
  a.chunks[task.chunk].is_begun = true;
  sequences_.push_back(
      {Sequence(setting_.sequence, plan_of(task)), false, task.answer, task.chunk});
  a.n_prompt_tokens += sequences_.back().sequence.n_prompt();
  return sequences_.back();
}

void GenerationDocument::begin_next(StatePool::StateHandle state) {
  for (ActiveSequence& s : sequences_) {
    if (!s.sequence.waits_with_state() || s.sequence.has_state()) continue;
    s.sequence.set_state(std::move(state));
    try {
      s.sequence.load_state(states_);
    } catch (const BadData&) {
      return begin_anew();
    }
    s.sequence.reserve(states_);
    return;
  }
  if (shares_ && !shared_prefix_begun_) {
    shared_prefix_begun_ = true;
    sequences_.push_front({Sequence(setting_.sequence, shared_prefix_plan()), true, 0, 0});
    sequences_.front().sequence.set_state(std::move(state));
    sequences_.front().sequence.reserve(states_);
    return;
  }
  const std::optional<Task> task = next_task();
  if (!task) return;
  // What was written for chunks may be no text at all.
  if (setting_.chunk_tokens > 0) {
    std::string why;
    try {
      why = rejection_of_tokens(plan_of(*task).own, setting_.sequence.vocab_size);
    } catch (const UnencodableText& e) {
      why = e.what();
    }
    if (!why.empty()) return refuse("bad-tokens", why);
  }
  ActiveSequence& s = begin(*task);
  s.sequence.set_state(std::move(state));
  if (shared_prefix() != nullptr) s.sequence.branch_from(shared_prefix()->sequence, states_);
  s.sequence.reserve(states_);
}

void GenerationDocument::drop_shared_prefix() {
  if (shared_prefix() != nullptr) sequences_.pop_front();
  shares_ = false;
}

void GenerationDocument::advance(ActiveSequence& active, std::int32_t n, const StepOutput& output,
                                 std::size_t index) {
  active.sequence.advance(n);
  result_.n_tokens += static_cast<std::uint64_t>(n);
  const TokenAt at = token_at(active.sequence);
  for (std::size_t l = 0; l < static_cast<std::size_t>(setting_.sequence.n_layers); ++l)
    counts_.count(l, output.at(l, index), active.sequence.first_evictions(), at);
}

TokenAt GenerationDocument::token_at(const Sequence& sequence) const {
  return [&sequence](std::int64_t position) {
    return sequence.token(static_cast<std::size_t>(position));
  };
}

void GenerationDocument::complete(Answer& answer, const Sequence& sequence) {
  Generation g;
  g.question = static_cast<std::uint32_t>(answer.question);
  g.sample = answer.sample;
  if (const std::string* question = question_of(answer)) g.question_text = *question;
  g.text = answer.chunks.front().answer.value_or("");
  g.n_prompt_tokens = answer.n_prompt_tokens;
  g.n_new_tokens = sequence.n_written();
  g.finish_reason = sequence.finish_reason();
  g.ids = sequence.ids();
  Digest prompt;
  for (std::size_t i = 0; i < sequence.n_prompt(); ++i)
    prompt.add(static_cast<std::uint64_t>(sequence.token(i)));
  g.prompt_hash = prompt.hex();
  if (answer.question < record_.references.size() &&
      (question_of(answer) != nullptr || record_.references.size() == 1))
    g.references = record_.references[answer.question];
  if (!g.references.empty()) g.scores = score_text(g.text, g.references, setting_.stems);
  answer.generation = std::move(g);
}

void GenerationDocument::record(ActiveSequence& active) {
  const Sequence& sequence = active.sequence;
  if (sequence.failed())
    return refuse(
        "not-finite",
        "the model gives no finite likelihoods: are its weights damaged, or too large for "
        "this dtype?");
  Answer& answer = answers_[active.answer];
  counts_.end(states_, sequence.state(), static_cast<std::int64_t>(sequence.n_taken()),
              sequence.first_evictions(), token_at(sequence));
  answer.chunks[active.chunk].answer = sequence.text();
  if (answer.chunks.size() == 1) return complete(answer, sequence);
  const auto is_answered = [](const DocumentChunk& p) { return p.answer.has_value(); };
  if (!std::all_of(answer.chunks.begin(), answer.chunks.end(), is_answered)) return;
  std::string joined;
  for (const DocumentChunk& p : answer.chunks) joined += (joined.empty() ? "" : "\n\n") + *p.answer;
  ++answer.level;
  take_place(answer, std::move(joined), std::max<std::size_t>(1, answer.chunks.size() * 3 / 4));
  if (const std::uint64_t most = most_task_bytes(); most > pool_.most_bytes(1))
    refuse_as_too_large(most);
}

void GenerationDocument::drain() {
  for (auto it = sequences_.begin(); it != sequences_.end();) {
    if (it->is_shared_prefix || !it->sequence.is_done()) {
      ++it;
      continue;
    }
    record(*it);
    it = sequences_.erase(it);
  }
  if (!rejection_.empty())
    sequences_.remove_if([](const ActiveSequence& s) { return !s.is_in_flight; });
  if (shared_prefix() != nullptr && shared_prefix()->sequence.is_done() && n_waiting() == 0)
    sequences_.pop_front();
}

bool GenerationDocument::continue_shared_prefix() {
  ActiveSequence* t = shared_prefix();
  if (t == nullptr || !t->sequence.is_done() || !t->sequence.has_state() || n_waiting() != 1)
    return false;
  ActiveSequence& s = begin(*next_task());
  s.sequence.adopt_state_of(t->sequence);
  s.sequence.reserve(states_);
  sequences_.pop_front();
  return true;
}

void GenerationDocument::end_with(DocumentRecord record) {
  begin_anew();
  result_ = std::move(record);
  has_ended_ = true;
}

bool GenerationDocument::finished() const {
  if (has_ended_) return true;
  if (!rejection_.empty())
    return std::none_of(sequences_.begin(), sequences_.end(),
                        [](const ActiveSequence& s) { return s.is_in_flight; });
  return std::all_of(answers_.begin(), answers_.end(),
                     [](const Answer& a) { return a.generation.has_value(); });
}

double GenerationDocument::fraction_done() const {
  return std::min(1.0, static_cast<double>(result_.n_tokens) /
                           static_cast<double>(std::max<std::uint64_t>(1, n_expected_)));
}

DocumentRecord GenerationDocument::finish(int rank) {
  if (!rejection_.empty() && !has_ended_) {
    CorpusRecord where = record_;
    where.n_bytes = result_.n_bytes;
    where.text.clear();
    return failed_record(where, rejection_reason_, rejection_, rank);
  }
  if (has_ended_) {
    result_.rank = rank;
    return std::move(result_);
  }
  result_.layers = counts_.layers();
  result_.token_lifetimes = counts_.lifetimes();
  for (Answer& a : answers_) result_.generations.push_back(std::move(*a.generation));
  result_.rank = rank;
  return std::move(result_);
}

}  // namespace tovamill
