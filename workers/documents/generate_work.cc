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
  s.sequence.tokenizer = model.tokenizer.get();
  s.sequence.stop = g.stop;
  s.sequence.end_ids = prompting.end_ids();
  s.sequence.channels = prompting.channels();
  s.sequence.sampling = g.sampling;
  s.sequence.vocab_size = shape.vocab_size;
  s.sequence.n_layers = shape.n_layers;
  s.sequence.n_eviction_groups = n_eviction_groups(options.cache, shape);
  s.sequence.block = model.plan.block;
  s.sequence.max_new_tokens = g.max_new_tokens;
  s.sequence.min_new_tokens = g.min_new_tokens;
  s.sequence.keeps_prompt = g.prefill == Prefill::full && is_bounded(options.cache);
  s.samples = g.samples;
  s.chunk_tokens = g.strategy == Strategy::chunk ? options.cache.chunk_tokens : 0;
  s.cache_size = is_bounded(options.cache) ? fewest_tokens(cache_of(options)) : 0;
  s.pins_instruction = g.pins();
  s.stems = g.stem;
  s.positions = static_cast<std::uint8_t>(options.cache.positions);
  s.clip_distance =
      options.cache.positions == Positions::clipped ? clip_distance(options.cache, shape) : 0;
  return s;
}

GenerateWork::GenerateWork(LoadedModel& model, const RunOptions& options)
    : GenerateWork(model, options, *model.runner, *model.states, model.plan.state_budget) {}

GenerateWork::GenerateWork(LoadedModel& model, const RunOptions& options, StepRunner& runner,
                           StateKeeper& states, std::uint64_t budget)
    : model_(model),
      runner_(runner),
      states_(states),
      prompting_(*model.files, *model.tokenizer, options),
      setting_(generation_setting(model, options, prompting_)),
      // One text at a time may go on from a state that is kept for the next.
      pool_(states, std::max(2, model.plan.n_streams), budget, setting_.sequence.keeps_prompt),
      sampler_(options.generation.sampling) {}

GenerateWork::~GenerateWork() = default;

std::int32_t GenerateWork::rows_to_read() const {
  std::int32_t rows = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->sequences()) {
      if (s.sequence.has_state() && !s.sequence.is_done()) rows += s.sequence.n_next();
    }
  }
  return rows;
}

// Sequences that a step may take.
std::int32_t GenerateWork::n_running() const {
  std::int32_t n = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->sequences()) n += s.sequence.has_state() && !s.sequence.is_done();
  }
  return n;
}

// Who is there already comes first.
bool GenerateWork::has_room() const {
  const auto waits = [](const GenerationDocument* d) { return d->wants_state().has_value(); };
  return n_running() < model_.plan.n_streams && pool_.has_room(0) &&
         rows_to_read() < model_.plan.max_rows * runner_.n_stages() &&
         std::none_of(documents_.begin(), documents_.end(), waits);
}

std::unique_ptr<DocumentInFlight> GenerateWork::open(CorpusRecord& record) {
  std::unique_ptr<GenerationDocument> document = std::move(held_);
  if (!document) {
    document = std::make_unique<GenerationDocument>(setting_, prompting_, states_, pool_, record);
  }
  if (document->rejection().empty()) {
    const std::int32_t n_states =
        document->shares() ? 2 : 1;  // a shared prefix and an answer at least
    if (!documents_.empty() && !pool_.has_room(document->least_bytes(), n_states)) {
      held_ = std::move(document);
      return nullptr;
    }
    documents_.push_back(document.get());
    assign_states(*document);
  }
  record = CorpusRecord{};
  return document;
}

void GenerateWork::close(std::unique_ptr<DocumentInFlight> document) {
  documents_.remove(static_cast<GenerationDocument*>(document.get()));
}

void GenerateWork::assign_states(GenerationDocument& document) {
  while (n_running() < model_.plan.n_streams) {
    if (document.continue_shared_prefix()) continue;
    const std::optional<std::uint64_t> bytes = document.wants_state();
    if (!bytes) return;
    if (document.waits_with_state() && !in_flight_.empty() && pool_.has_room(*bytes)) {
      while (!in_flight_.empty()) collect();
      continue;
    }
    StatePool::StateHandle state = pool_.take(*bytes);
    if (!state) return;
    document.begin_next(std::move(state));
  }
}

// First to the documents that have been there longest: they end soonest.
void GenerateWork::hand_out_states() {
  for (GenerationDocument* d : documents_) assign_states(*d);
  if (n_running() > 0 || documents_.empty()) return;
  // Memory has become less, and all states are held for answers that wait for one.
  for (GenerationDocument* d : documents_) d->drop_shared_prefix();
  for (GenerationDocument* d : documents_) assign_states(*d);
}

// Adds the blocks of the sequences that write, or of those that read, as far as the rows go and no
// more than this step's part of them.
void GenerateWork::gather(bool writers, Step& step) {
  const auto is_meant = [&](const Sequence& s) {
    return s.has_state() && !s.is_done() && s.is_prefilling() != writers;
  };
  std::int32_t n_all = 0;
  for (GenerationDocument* d : documents_) {
    for (const auto& s : d->sequences()) n_all += is_meant(s.sequence);
  }
  const std::int32_t n_parts = runner_.n_stages();
  std::int32_t n_left = (n_all + n_parts - 1) / n_parts;
  for (GenerationDocument* d : documents_) {
    if (!d->rejection().empty()) continue;
    for (auto& s : d->sequences()) {
      if (n_left == 0) return;
      if (s.is_in_flight || !is_meant(s.sequence)) continue;
      const std::int32_t n = s.sequence.n_next();
      if (ids_.size() + static_cast<std::size_t>(n) >
          static_cast<std::size_t>(model_.plan.max_rows))
        return;
      if (s.sequence.samples_next()) {
        const bool is_greedy = s.sequence.takes_argmax(sampler_);
        (is_greedy ? step.greedy : step.sampled).push_back(step.rows.size());
        (is_greedy ? argmax_rows_ : logit_rows_)
            .push_back(static_cast<std::int32_t>(ids_.size()) + n - 1);
      }
      blocks_.push_back(s.sequence.next_block(static_cast<std::int32_t>(ids_.size()), ids_));
      step.rows.push_back({d, &s, n});
      --n_left;
    }
  }
}

// False where there is no sequence that no step has yet.
bool GenerateWork::submit() {
  blocks_.clear();
  ids_.clear();
  logit_rows_.clear();
  argmax_rows_.clear();
  Step gathered;
  gather(true, gathered);
  gather(false, gathered);
  if (gathered.rows.empty()) return false;
  gathered.n_tokens = ids_.size();
  gathered.begun_s = now_s();
  in_flight_.push_back(std::move(gathered));
  Step& step = in_flight_.back();
  // Logits come when the step's events are there already, but the sequences take the block first.
  runner_.submit({.blocks = blocks_,
                  .ids = ids_,
                  .targets = {},
                  .logit_rows = logit_rows_,
                  .take_logits =
                      [this, &step](std::size_t i, std::span<float> logits) {
                        step.rows[step.sampled[i]].active->sequence.choose(logits, sampler_);
                      },
                  .argmax_rows = argmax_rows_,
                  .take_argmax =
                      [&step](std::size_t i, std::int32_t id) {
                        step.rows[step.greedy[i]].active->sequence.append(id);
                      }});
  for (const Row& row : step.rows) row.active->is_in_flight = true;
  return true;
}

void GenerateWork::collect() {
  if (in_flight_.empty()) return;
  const Step& step = in_flight_.front();
  const StepOutput output = runner_.collect();
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    const Row& row = step.rows[i];
    row.active->is_in_flight = false;
    row.document->advance(*row.active, row.n, output, i);
  }
  for (GenerationDocument* d : documents_) d->drain();
  count(step);
  n_collected_ += step.n_tokens;
  in_flight_.pop_front();
}

std::size_t GenerateWork::step() {
  hand_out_states();
  const auto most = static_cast<std::size_t>(runner_.n_stages());
  while (in_flight_.size() < most && submit()) continue;
  collect();
  return std::exchange(n_collected_, 0);
}

std::size_t GenerateWork::drain() {
  while (!in_flight_.empty()) collect();
  return std::exchange(n_collected_, 0);
}

// Steps that are in flight at once share the time: each has that since the one before it ended.
void GenerateWork::count(const Step& step) {
  const double end = now_s(), seconds = end - std::max(step.begun_s, collected_s_);
  collected_s_ = end;
  n_written_ += step.sampled.size() + step.greedy.size();
  if (std::all_of(in_flight_.begin(), in_flight_.end(),
                  [](const Step& s) { return s.decode_only(); })) {
    std::size_t n_sequences = 0;
    for (const Step& s : in_flight_) n_sequences += s.rows.size();
    Decoding& d = decoding_[n_sequences];
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
