#include "workers/documents/generate_work.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "workers/lease/run_journal.h"

namespace tovamill {

GenerationSetting generation_setting(const LoadedModel& model, const RunOptions& options,
                                     const Prompting& prompting) {
  const ModelShape& shape = model.config.shape;
  const GenerationOptions& g = options.generation;
  GenerationSetting s;
  s.strand.tokenizer = model.tokenizer.get();
  s.strand.stop = g.stop;
  s.strand.end_ids = prompting.end_ids();
  s.strand.sampling = g.sampling;
  s.strand.vocab_size = shape.vocab_size;
  s.strand.n_layers = shape.n_layers;
  s.strand.n_groups = n_groups(options.cache, shape);
  s.strand.block = model.plan.block;
  s.strand.max_new_tokens = g.max_new_tokens;
  s.strand.min_new_tokens = g.min_new_tokens;
  s.strand.keeps_prompt = g.prefill == Prefill::full && is_bounded(options.cache);
  s.samples = g.samples;
  s.piece_tokens = g.strategy == Strategy::chunk ? options.cache.chunk_tokens : 0;
  s.cache_size = is_bounded(options.cache) ? options.cache.cache_size : 0;
  s.pins_instruction = g.pin_instruction;
  s.stems = g.stem;
  s.positions = static_cast<std::uint8_t>(options.cache.positions);
  s.clip_distance =
      options.cache.positions == Positions::clipped ? clip_distance(options.cache, shape) : 0;
  return s;
}

GenerateWork::GenerateWork(LoadedModel& model, const RunOptions& options)
    : model_(model),
      prompting_(*model.files, *model.tokenizer, options),
      setting_(generation_setting(model, options, prompting_)),
      // One text at a time may go on from a state that is kept for the next.
      pool_(*model.states, std::max(2, model.plan.n_streams), model.plan.state_budget,
            setting_.strand.keeps_prompt),
      sampler_(options.generation.sampling) {}

GenerateWork::~GenerateWork() = default;

std::int32_t GenerateWork::rows_to_read() const {
  std::int32_t rows = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->strands()) {
      if (s.strand.has_state() && !s.strand.is_done()) rows += s.strand.n_next();
    }
  }
  return rows;
}

// Strands that a step may take.
std::int32_t GenerateWork::n_running() const {
  std::int32_t n = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->strands()) n += s.strand.has_state() && !s.strand.is_done();
  }
  return n;
}

// Who is there already comes first.
bool GenerateWork::has_room() const {
  const auto waits = [](const GenerationDocument* d) { return d->wants_state().has_value(); };
  return n_running() < model_.plan.n_streams && pool_.has_room(0) &&
         rows_to_read() < model_.plan.max_rows * model_.runner->n_stages() &&
         std::none_of(documents_.begin(), documents_.end(), waits);
}

std::unique_ptr<DocumentUnderWay> GenerateWork::open(CorpusRecord& record) {
  std::unique_ptr<GenerationDocument> document = std::move(held_);
  if (!document) {
    document =
        std::make_unique<GenerationDocument>(setting_, prompting_, *model_.states, pool_, record);
  }
  if (document->obstacle().empty()) {
    const std::int32_t n_states = document->shares() ? 2 : 1;  // a trunk and an answer at least
    if (!documents_.empty() && !pool_.has_room(document->least_bytes(), n_states)) {
      held_ = std::move(document);
      return nullptr;
    }
    documents_.push_back(document.get());
    give_states(*document);
  }
  record = CorpusRecord{};
  return document;
}

void GenerateWork::close(std::unique_ptr<DocumentUnderWay> document) {
  documents_.remove(static_cast<GenerationDocument*>(document.get()));
}

void GenerateWork::give_states(GenerationDocument& document) {
  while (n_running() < model_.plan.n_streams) {
    if (document.follow_trunk()) continue;
    const std::optional<std::uint64_t> bytes = document.wants_state();
    if (!bytes) return;
    if (document.waits_with_state() && !under_way_.empty() && pool_.has_room(*bytes)) {
      while (!under_way_.empty()) collect();
      continue;
    }
    StatePool::Lease state = pool_.take(*bytes);
    if (!state) return;
    document.give(std::move(state));
  }
}

// First to the documents that have been there longest: they end soonest.
void GenerateWork::hand_out_states() {
  for (GenerationDocument* d : documents_) give_states(*d);
  if (n_running() > 0 || documents_.empty()) return;
  // Memory has become less, and all states are held for answers that wait for one.
  for (GenerationDocument* d : documents_) d->drop_trunk();
  for (GenerationDocument* d : documents_) give_states(*d);
}

// Adds the blocks of the strands that write, or of those that read, as far as the rows go and no
// more than this step's part of them.
void GenerateWork::gather(bool writers, Step& step) {
  const auto is_meant = [&](const Strand& s) {
    return s.has_state() && !s.is_done() && s.reads() != writers;
  };
  std::int32_t n_all = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->strands()) n_all += is_meant(s.strand);
  }
  const std::int32_t n_parts = model_.runner->n_stages();
  std::int32_t n_left = (n_all + n_parts - 1) / n_parts;
  for (GenerationDocument* d : documents_) {
    if (!d->obstacle().empty()) continue;
    for (auto& s : d->strands()) {
      if (n_left == 0) return;
      if (s.is_under_way || !is_meant(s.strand)) continue;
      const std::int32_t n = s.strand.n_next();
      if (ids_.size() + static_cast<std::size_t>(n) >
          static_cast<std::size_t>(model_.plan.max_rows))
        return;
      if (s.strand.chooses_next()) {
        const bool is_greedy = s.strand.takes_highest(sampler_);
        (is_greedy ? step.greedy : step.choosers).push_back(step.rows.size());
        (is_greedy ? highest_rows_ : logit_rows_)
            .push_back(static_cast<std::int32_t>(ids_.size()) + n - 1);
      }
      blocks_.push_back(s.strand.next_block(static_cast<std::int32_t>(ids_.size()), ids_));
      step.rows.push_back({d, &s, n});
      --n_left;
    }
  }
}

// False where there is no strand that no step has yet.
bool GenerateWork::submit() {
  blocks_.clear();
  ids_.clear();
  logit_rows_.clear();
  highest_rows_.clear();
  Step gathered;
  gather(true, gathered);
  gather(false, gathered);
  if (gathered.rows.empty()) return false;
  gathered.n_tokens = ids_.size();
  gathered.begun_s = now_s();
  under_way_.push_back(std::move(gathered));
  Step& step = under_way_.back();
  // Logits come when the step's events are there already, but the strands take the block first.
  model_.runner->submit({.blocks = blocks_,
                         .ids = ids_,
                         .targets = {},
                         .logit_rows = logit_rows_,
                         .take_logits =
                             [this, &step](std::size_t i, std::span<float> logits) {
                               step.rows[step.choosers[i]].active->strand.choose(logits, sampler_);
                             },
                         .highest_rows = highest_rows_,
                         .take_highest =
                             [&step](std::size_t i, std::int32_t id) {
                               step.rows[step.greedy[i]].active->strand.take(id);
                             }});
  for (const Row& row : step.rows) row.active->is_under_way = true;
  return true;
}

void GenerateWork::collect() {
  if (under_way_.empty()) return;
  const Step& step = under_way_.front();
  const StepOutput output = model_.runner->collect();
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    const Row& row = step.rows[i];
    row.active->is_under_way = false;
    row.document->took(*row.active, row.n, output, i);
  }
  for (GenerationDocument* d : documents_) d->settle();
  count(step);
  n_collected_ += step.n_tokens;
  under_way_.pop_front();
}

std::size_t GenerateWork::step() {
  hand_out_states();
  const auto most = static_cast<std::size_t>(model_.runner->n_stages());
  while (under_way_.size() < most && submit()) continue;
  collect();
  return std::exchange(n_collected_, 0);
}

std::size_t GenerateWork::settle() {
  while (!under_way_.empty()) collect();
  return std::exchange(n_collected_, 0);
}

// Steps that are under way at once share the time: each has that since the one before it ended.
void GenerateWork::count(const Step& step) {
  const double end = now_s(), seconds = end - std::max(step.begun_s, collected_s_);
  collected_s_ = end;
  n_written_ += step.choosers.size() + step.greedy.size();
  if (std::all_of(under_way_.begin(), under_way_.end(),
                  [](const Step& s) { return s.only_writes(); })) {
    std::size_t n_strands = 0;
    for (const Step& s : under_way_) n_strands += s.rows.size();
    Decoding& d = decoding_[n_strands];
    d.seconds += seconds;
    d.n_tokens += step.rows.size();
    return;
  }
  seconds_reading_ += seconds;
  for (const Row& r : step.rows) n_read_ += r.n > 1 ? static_cast<std::uint64_t>(r.n) : 0;
}

std::string GenerateWork::statistics() const {
  nlohmann::json decoding = nlohmann::json::array();
  for (const auto& [n, d] : decoding_) decoding.push_back({n, d.seconds, d.n_tokens});
  return nlohmann::json{{"decoding", decoding},
                        {"seconds_reading", seconds_reading_},
                        {"tokens_read", n_read_},
                        {"tokens_written", n_written_},
                        {"states", pool_.most()}}
      .dump();
}

}  // namespace tovamill
