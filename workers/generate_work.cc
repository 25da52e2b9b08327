#include "workers/generate_work.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "workers/run_journal.h"

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
      options_(options),
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
         rows_to_read() < model_.plan.max_rows &&
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

// Adds the blocks of the strands that write, or of those that read, as far as the rows go.
void GenerateWork::gather(bool writers) {
  for (GenerationDocument* d : documents_) {
    for (auto& s : d->strands()) {
      if (!s.strand.has_state() || s.strand.is_done() || s.strand.reads() == writers) continue;
      const std::int32_t n = s.strand.n_next();
      if (ids_.size() + static_cast<std::size_t>(n) >
          static_cast<std::size_t>(model_.plan.max_rows))
        return;
      if (s.strand.chooses_next()) {
        const bool is_greedy = s.strand.takes_highest(sampler_);
        (is_greedy ? greedy_ : choosers_).push_back(rows_.size());
        (is_greedy ? highest_rows_ : logit_rows_)
            .push_back(static_cast<std::int32_t>(ids_.size()) + n - 1);
      }
      blocks_.push_back(s.strand.next_block(static_cast<std::int32_t>(ids_.size()), ids_));
      rows_.push_back({d, &s, n});
    }
  }
}

std::size_t GenerateWork::step() {
  hand_out_states();
  rows_.clear();
  blocks_.clear();
  ids_.clear();
  logit_rows_.clear();
  highest_rows_.clear();
  choosers_.clear();
  greedy_.clear();
  gather(true);
  gather(false);
  if (rows_.empty()) return 0;
  const double start = now_s();
  // Logits come when the step's events are there already, but the strands take the block first.
  const StepOutput output = model_.runner->run(
      {.blocks = blocks_,
       .ids = ids_,
       .targets = {},
       .logit_rows = logit_rows_,
       .take_logits =
           [&](std::size_t i, std::span<float> logits) {
             Row& row = rows_[choosers_[i]];
             row.active->strand.choose(logits, sampler_);
           },
       .highest_rows = highest_rows_,
       .take_highest = [&](std::size_t i,
                           std::int32_t id) { rows_[greedy_[i]].active->strand.take(id); }});
  for (std::size_t i = 0; i < rows_.size(); ++i)
    rows_[i].document->took(*rows_[i].active, rows_[i].n, output, i);
  for (GenerationDocument* d : documents_) d->settle();
  count(now_s() - start);
  return ids_.size();
}

void GenerateWork::count(double seconds) {
  const auto is_writing = [](const Row& r) { return r.n == 1; };
  const std::size_t n_written = choosers_.size() + greedy_.size();
  n_written_ += n_written;
  if (std::all_of(rows_.begin(), rows_.end(), is_writing) && n_written == rows_.size()) {
    Decoding& d = decoding_[rows_.size()];
    d.seconds += seconds;
    d.n_tokens += rows_.size();
    return;
  }
  seconds_reading_ += seconds;
  for (const Row& r : rows_) n_read_ += r.n > 1 ? static_cast<std::uint64_t>(r.n) : 0;
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
