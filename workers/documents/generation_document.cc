#include "workers/documents/generation_document.h"

#include <algorithm>
#include <filesystem>

#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/documents/text_scores.h"

namespace tovamill {
GenerationDocument::GenerationDocument(const GenerationSetting& setting, const Prompting& prompting,
                                       StateKeeper& states, StatePool& pool, CorpusRecord record)
    : setting_(setting),
      prompting_(prompting),
      states_(states),
      pool_(pool),
      record_(std::move(record)),
      counts_(setting.strand.n_layers, setting.strand.n_groups) {
  result_ = record_of(record_);
  result_.n_words = count_words(record_.text);
  result_.positions = setting.positions;
  result_.clip_distance = setting.clip_distance;
  result_.n_groups = static_cast<std::uint32_t>(setting.strand.n_groups);
  if (const std::string why = prompting.obstacle(record_); !why.empty()) {
    refuse("missing-question", why);
    return;
  }
  make_prompts();
  if (obstacle_.empty()) check_memory();
}

void GenerationDocument::refuse(const std::string& reason, const std::string& text) {
  obstacle_reason_ = reason;
  obstacle_ = text;
}

const std::string* GenerationDocument::question_of(const Answer& answer) const {
  return prompting_.n_questions(record_) > 0 ? &record_.questions[answer.question] : nullptr;
}

void GenerationDocument::make_prompts() {
  const std::string text = prompting_.shortened(record_.text);
  const std::size_t n_questions = std::max<std::size_t>(1, prompting_.n_questions(record_));
  for (std::size_t q = 0; q < n_questions; ++q) {
    for (std::int32_t s = 0; s < setting_.samples; ++s) {
      answers_.emplace_back();
      answers_.back().question = q;
      answers_.back().sample = static_cast<std::uint32_t>(s);
    }
  }
  if (setting_.piece_tokens > 0) {
    const std::vector<Piece> pieces = cut(text, 0);
    for (Answer& a : answers_) a.pieces = pieces;
    record_.text = text;
    n_expected_ = answers_.size() * (text.size() / 4 + 1);
  } else {
    for (Answer& a : answers_) a.pieces.resize(1);
    record_.text = std::string();
    prompts_ = DocumentPrompts(prompting_, record_, text, setting_.samples,
                               setting_.strand.vocab_size, setting_.pins_instruction);
    if (!prompts_.obstacle().empty()) return refuse("bad-tokens", prompts_.obstacle());
    may_share_ = shares_ = prompts_.shared() != nullptr;
    n_expected_ = prompts_.n_shared();
    for (const Answer& a : answers_)
      n_expected_ += prompts_.tail(a.question).size() +
                     static_cast<std::uint64_t>(setting_.strand.max_new_tokens);
  }
  if (obstacle_.empty() && setting_.pins_instruction) check_pins();
}

void GenerationDocument::check_pins() {
  if (setting_.cache_size == 0) return;
  for (std::size_t a = 0; a < answers_.size(); a += static_cast<std::size_t>(setting_.samples)) {
    const std::int32_t pin =
        setting_.piece_tokens > 0
            ? static_cast<std::int32_t>(
                  prompting_.prompt(*answers_[a].pieces.front().text, question_of(answers_[a]))
                      .n_leading)
            : prompts_.pin(answers_[a].question);
    if (pin < setting_.cache_size) continue;
    return refuse("instruction-too-long",
                  "--pin-instruction: the instruction has " + with_thousands(pin) +
                      " tokens, as many as the state keeps: give a larger --cache-size");
  }
}

std::uint64_t GenerationDocument::trunk_bytes() const {
  // Its state may go on to be that of the last answer.
  return strand_bytes(setting_.strand, pool_, prompts_.n_shared() + prompts_.longest_tail(), false);
}

// Samples of a question all take the same.
std::uint64_t GenerationDocument::most_task_bytes() const {
  std::uint64_t most = 0;
  for (std::size_t a = 0; a < answers_.size(); a += static_cast<std::size_t>(setting_.samples)) {
    for (std::size_t p = 0; p < answers_[a].pieces.size(); ++p)
      most = std::max(most, task_bytes({a, p}));
  }
  return most;
}

std::uint64_t GenerationDocument::least_bytes() const {
  if (shares_) return 2 * trunk_bytes();
  return wants_state().value_or(0);
}

void GenerationDocument::check_memory() {
  const std::uint64_t most = most_task_bytes();
  if (shares_ && trunk_bytes() > pool_.most_bytes(2)) may_share_ = shares_ = false;
  if (most > pool_.most_bytes(1)) refuse_as_too_large(most);
}

void GenerationDocument::refuse_as_too_large(std::uint64_t n_bytes) {
  refuse("too-large",
         "its state takes " + with_thousands(n_bytes) + " bytes, but the memory has room for " +
             with_thousands(pool_.most_bytes(1)) +
             ": use a bounded policy with --prefill stream, fewer --max-document-tokens, "
             "or a larger --memory-budget");
}

std::vector<GenerationDocument::Piece> GenerationDocument::cut(const std::string& text,
                                                               std::size_t most) const {
  std::vector<Piece> pieces;
  for (std::string& piece : prompting_.pieces(text, setting_.piece_tokens, most))
    pieces.push_back({std::make_shared<const std::string>(std::move(piece)), std::nullopt, false});
  return pieces;
}

// What was written for the pieces, in fewer pieces, which may be longer for that: answers that are
// as long as they may be would not get shorter for ever.
void GenerationDocument::take_place(Answer& answer, std::string source, std::size_t most) const {
  answer.source = std::move(source);
  answer.most_pieces = most;
  answer.pieces = cut(answer.source, most);
}

std::optional<GenerationDocument::Task> GenerationDocument::next_task() const {
  for (std::size_t a = 0; a < answers_.size(); ++a) {
    for (std::size_t p = 0; p < answers_[a].pieces.size(); ++p) {
      if (!answers_[a].pieces[p].is_begun) return Task{a, p};
    }
  }
  return std::nullopt;
}

std::size_t GenerationDocument::n_waiting() const {
  std::size_t n = 0;
  for (const Answer& a : answers_) {
    for (const Piece& p : a.pieces) n += !p.is_begun;
  }
  return n;
}

std::uint64_t GenerationDocument::random_text(const Task& task) const {
  const Answer& a = answers_[task.answer];
  Digest d;
  d.add(std::string_view(std::filesystem::path(result_.file).filename().string()));
  for (const std::uint64_t n :
       {result_.offset, static_cast<std::uint64_t>(a.question), std::uint64_t{a.sample},
        std::uint64_t{a.level}, static_cast<std::uint64_t>(task.piece)})
    d.add(n);
  return d.value();
}

StrandPlan GenerationDocument::trunk_plan() const {
  StrandPlan plan;
  plan.shared = prompts_.shared();
  plan.pin = prompts_.pin(0);
  plan.only_reads = true;
  return plan;
}

StrandPlan GenerationDocument::plan_of(const Task& task) const {
  const Answer& a = answers_[task.answer];
  StrandPlan plan;
  plan.random_text = random_text(task);
  if (setting_.piece_tokens > 0) {
    PromptIds prompt = prompting_.prompt(*a.pieces[task.piece].text, question_of(a));
    // The instruction's last token may end elsewhere before another piece.
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

GenerationDocument::ActiveStrand* GenerationDocument::trunk() {
  return !strands_.empty() && strands_.front().is_trunk ? &strands_.front() : nullptr;
}
const GenerationDocument::ActiveStrand* GenerationDocument::trunk() const {
  return !strands_.empty() && strands_.front().is_trunk ? &strands_.front() : nullptr;
}

std::optional<std::uint64_t> GenerationDocument::wants_state() const {
  if (!obstacle_.empty()) return std::nullopt;
  for (const ActiveStrand& s : strands_) {
    if (s.strand.waits_with_state() && !s.strand.has_state())
      return s.is_trunk ? trunk_bytes() : s.strand.state_bytes(pool_);
  }
  if (shares_ && !trunk_begun_) return trunk_bytes();
  const ActiveStrand* t = trunk();
  if (t != nullptr && !t->strand.is_done()) return std::nullopt;
  const std::optional<Task> task = next_task();
  if (!task) return std::nullopt;
  if (t != nullptr && t->strand.has_state() && n_waiting() == 1) return std::nullopt;
  return task_bytes(*task);
}

bool GenerationDocument::waits_with_state() const {
  return std::any_of(strands_.begin(), strands_.end(), [](const ActiveStrand& s) {
    return s.strand.waits_with_state() && !s.strand.has_state();
  });
}

std::uint64_t GenerationDocument::task_bytes(const Task& task) const {
  std::size_t n = 0;
  if (setting_.piece_tokens == 0) {
    n = prompts_.n_shared() + prompts_.tail(answers_[task.answer].question).size();
  } else if (setting_.cache_size == 0 || setting_.strand.keeps_prompt) {
    n = plan_of(task).own.size();  // else it makes no difference
  }
  return strand_bytes(setting_.strand, pool_, n, false);
}

GenerationDocument::ActiveStrand& GenerationDocument::begin(const Task& task) {
  Answer& a = answers_[task.answer];
  a.pieces[task.piece].is_begun = true;
  strands_.push_back({Strand(setting_.strand, plan_of(task)), false, task.answer, task.piece});
  a.n_prompt_tokens += strands_.back().strand.n_prompt();
  return strands_.back();
}

void GenerationDocument::give(StatePool::Lease state) {
  for (ActiveStrand& s : strands_) {
    if (!s.strand.waits_with_state() || s.strand.has_state()) continue;
    s.strand.give(std::move(state));
    try {
      s.strand.load_state(states_);
    } catch (const BadData&) {
      return begin_anew();
    }
    s.strand.reserve(states_);
    return;
  }
  if (shares_ && !trunk_begun_) {
    trunk_begun_ = true;
    strands_.push_front({Strand(setting_.strand, trunk_plan()), true, 0, 0});
    strands_.front().strand.give(std::move(state));
    strands_.front().strand.reserve(states_);
    return;
  }
  const std::optional<Task> task = next_task();
  if (!task) return;
  // What was written for pieces may be no text at all.
  if (setting_.piece_tokens > 0) {
    const std::string why = obstacle_of_tokens(plan_of(*task).own, setting_.strand.vocab_size);
    if (!why.empty()) return refuse("bad-tokens", why);
  }
  ActiveStrand& s = begin(*task);
  s.strand.give(std::move(state));
  if (trunk() != nullptr) s.strand.branch_from(trunk()->strand, states_);
  s.strand.reserve(states_);
}

void GenerationDocument::drop_trunk() {
  if (trunk() != nullptr) strands_.pop_front();
  shares_ = false;
}

void GenerationDocument::took(ActiveStrand& active, std::int32_t n, const StepOutput& output,
                              std::size_t index) {
  active.strand.took(n);
  result_.n_tokens += static_cast<std::uint64_t>(n);
  const TokenAt at = token_at(active.strand);
  for (std::size_t l = 0; l < static_cast<std::size_t>(setting_.strand.n_layers); ++l)
    counts_.count(l, output.at(l, index), active.strand.first_deaths(), at);
}

TokenAt GenerationDocument::token_at(const Strand& strand) const {
  return
      [&strand](std::int64_t position) { return strand.token(static_cast<std::size_t>(position)); };
}

void GenerationDocument::complete(Answer& answer, const Strand& strand) {
  Generation g;
  g.question = static_cast<std::uint32_t>(answer.question);
  g.sample = answer.sample;
  if (const std::string* question = question_of(answer)) g.question_text = *question;
  g.text = answer.pieces.front().answer.value_or("");
  g.n_prompt_tokens = answer.n_prompt_tokens;
  g.n_new_tokens = strand.n_written();
  g.finish_reason = strand.finish_reason();
  g.ids = strand.ids();
  Digest prompt;
  for (std::size_t i = 0; i < strand.n_prompt(); ++i)
    prompt.add(static_cast<std::uint64_t>(strand.token(i)));
  g.prompt_hash = prompt.hex();
  if (answer.question < record_.references.size() &&
      (question_of(answer) != nullptr || record_.references.size() == 1))
    g.references = record_.references[answer.question];
  if (!g.references.empty()) g.scores = score_text(g.text, g.references, setting_.stems);
  answer.generation = std::move(g);
}

void GenerationDocument::put_away(ActiveStrand& active) {
  const Strand& strand = active.strand;
  if (strand.failed())
    return refuse(
        "not-finite",
        "the model gives no finite likelihoods: are its weights damaged, or too large for "
        "this dtype?");
  Answer& answer = answers_[active.answer];
  counts_.end(states_, strand.state(), static_cast<std::int64_t>(strand.n_taken()),
              strand.first_deaths(), token_at(strand));
  answer.pieces[active.piece].answer = strand.text();
  if (answer.pieces.size() == 1) return complete(answer, strand);
  const auto is_answered = [](const Piece& p) { return p.answer.has_value(); };
  if (!std::all_of(answer.pieces.begin(), answer.pieces.end(), is_answered)) return;
  std::string joined;
  for (const Piece& p : answer.pieces) joined += (joined.empty() ? "" : "\n\n") + *p.answer;
  ++answer.level;
  take_place(answer, std::move(joined), std::max<std::size_t>(1, answer.pieces.size() * 3 / 4));
  if (const std::uint64_t most = most_task_bytes(); most > pool_.most_bytes(1))
    refuse_as_too_large(most);
}

void GenerationDocument::settle() {
  for (auto it = strands_.begin(); it != strands_.end();) {
    if (it->is_trunk || !it->strand.is_done()) {
      ++it;
      continue;
    }
    put_away(*it);
    it = strands_.erase(it);
  }
  if (!obstacle_.empty()) strands_.remove_if([](const ActiveStrand& s) { return !s.is_under_way; });
  if (trunk() != nullptr && trunk()->strand.is_done() && n_waiting() == 0) strands_.pop_front();
}

bool GenerationDocument::follow_trunk() {
  ActiveStrand* t = trunk();
  if (t == nullptr || !t->strand.is_done() || !t->strand.has_state() || n_waiting() != 1)
    return false;
  ActiveStrand& s = begin(*next_task());
  s.strand.follow(t->strand);
  s.strand.reserve(states_);
  strands_.pop_front();
  return true;
}

bool GenerationDocument::finished() const {
  if (!obstacle_.empty())
    return std::none_of(strands_.begin(), strands_.end(),
                        [](const ActiveStrand& s) { return s.is_under_way; });
  return std::all_of(answers_.begin(), answers_.end(),
                     [](const Answer& a) { return a.generation.has_value(); });
}

double GenerationDocument::fraction_done() const {
  return std::min(1.0, static_cast<double>(result_.n_tokens) /
                           static_cast<double>(std::max<std::uint64_t>(1, n_expected_)));
}

DocumentRecord GenerationDocument::finish(int rank) {
  if (!obstacle_.empty()) {
    CorpusRecord where = record_;
    where.n_bytes = result_.n_bytes;
    where.text.clear();
    return failed_record(where, obstacle_reason_, obstacle_, rank);
  }
  result_.layers = counts_.layers();
  result_.token_lifetimes = counts_.lifetimes();
  for (Answer& a : answers_) result_.generations.push_back(std::move(*a.generation));
  result_.rank = rank;
  return std::move(result_);
}

}  // namespace tovamill
