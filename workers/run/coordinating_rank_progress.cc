// What rank 0 shows of a run: its first lines, progress and ranks that are lost.
#include <algorithm>
#include <string>

#include "workers/run/coordinating_rank.h"

namespace tovamill {
namespace {

constexpr double kShowSeconds = 0.1;

}  // namespace

// The first lines, once everything that they tell is known.
void CoordinatingRank::announce() {
  if (is_announced_ || !prepared_) return;
  const std::optional<LoadedInfo> loaded = thread_ ? thread_->loaded() : std::nullopt;
  if ((thread_ && !loaded) || !coordinator_.anybody_works()) return;
  is_announced_ = true;
  RunInfo info;
  info.n_files = prepared_->n_files;
  info.n_bytes = prepared_->n_bytes;
  info.left_out = prepared_->left_out;
  info.n_documents_done = prepared_->n_documents_done;
  info.n_ranks = static_cast<int>(launch_.ranks.size());
  info.n_hosts = launch_.ranks.front().n_hosts;
  info.model_description = model_description_;
  info.tokenizer_description = tokenizer_description_;
  info.device = "none: rank 0 only coordinates";
  info.dtype = dtype_;
  if (loaded) {
    info.model_description = loaded->model_description;
    info.device = loaded->device;
    info.sharing_note = loaded->sharing_note;
    info.work = loaded->work;
    info.stages = loaded->stages;
    info.threads = loaded->n_threads;
    info.streams = loaded->n_streams;
    info.wanted_streams = loaded->n_wanted_streams;
    info.weight_bytes = loaded->weight_bytes;
    info.state_bytes = loaded->state_bytes;
    info.workspace_bytes = loaded->workspace_bytes;
  }
  observer_.started(info);
}

RunProgress CoordinatingRank::progress(double now) const {
  RunProgress p;
  const WorkerCounters totals = coordinator_.totals();
  p.n_documents = totals.n_documents;
  p.n_failed = totals.n_failed;
  p.n_tokens = totals.n_tokens;
  p.n_ranks = coordinator_.n_alive();
  p.seconds = now - begun_s_;
  for (const Coordinator::Worker& w : coordinator_.workers())
    p.tokens_per_second += w.tokens_per_second;
  if (p.tokens_per_second == 0.0 && p.seconds > 0.0)
    p.tokens_per_second = static_cast<double>(p.n_tokens) / p.seconds;
  const auto total = static_cast<double>(std::max<std::uint64_t>(1, coordinator_.bytes_total()));
  const auto left = static_cast<double>(coordinator_.bytes_left());
  p.fraction = std::clamp(1.0 - left / total, 0.0, 1.0);
  const double gained = static_cast<double>(first_left_) - left;
  if (gained > 0.0) p.seconds_left = left / gained * p.seconds;
  return p;
}

// Who was lost, unless that is the end of the run, which says so itself.
void CoordinatingRank::show_lost() {
  for (const int rank : coordinator_.take_lost()) {
    if (coordinator_.outcome() != RunOutcome::running) continue;
    const Coordinator::Worker& w = coordinator_.workers()[static_cast<std::size_t>(rank)];
    const std::string host = w.registration.host.empty() ? "" : " on " + w.registration.host;
    observer_.note("rank " + std::to_string(rank) + host + " is lost: " + w.note +
                   "; others do its work");
  }
}

void CoordinatingRank::show(double now) {
  if (!is_announced_) return;
  const std::uint64_t n_tokens = coordinator_.totals().n_tokens;
  if (now - shown_s_ < kShowSeconds && n_tokens == shown_tokens_) return;
  shown_s_ = now;
  shown_tokens_ = n_tokens;
  const RunProgress p = progress(now);
  status_->update(p, coordinator_, now);
  observer_.progress(p);
}

}  // namespace tovamill
