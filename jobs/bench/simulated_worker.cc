#include "jobs/bench/simulated_worker.h"

#include <algorithm>
#include <string>

namespace tovamill {
namespace {

constexpr std::size_t kMostUnsynced = 16;  // as DocumentLoop
constexpr double kDone = 0.5;              // bytes: less is rounding

// The number at the end of a path's name, which is the index of its file.
std::uint32_t file_of(const std::string& path) {
  const std::size_t dot = path.rfind('.'), dash = path.rfind('-');
  return static_cast<std::uint32_t>(std::stoul(path.substr(dash + 1, dot - dash - 1)));
}

}  // namespace

std::uint64_t SimulatedCluster::document_bytes(std::uint32_t file, std::size_t i) const {
  if (corpus_.offsets.empty()) return corpus_.files[file].n_bytes;
  return corpus_.offsets[file][i + 1] - corpus_.offsets[file][i];
}

// The next document of the leases goes into a stream; false where there is none.
bool SimulatedCluster::read(Worker& w) {
  while (w.reading || !w.waiting.empty()) {
    if (!w.reading) {
      w.current = std::move(w.waiting.front());
      w.waiting.pop_front();
      w.reading = true;
      w.range = 0;
      w.document = SIZE_MAX;
    }
    const LeasedRange& p = w.current.ranges[w.range];
    const std::uint32_t file = file_of(p.path);
    const bool is_text = corpus_.offsets.empty();
    const auto first_from = [&](std::uint64_t offset) {
      if (is_text) return static_cast<std::size_t>(offset > 0);
      const auto& offsets = corpus_.offsets[file];
      return static_cast<std::size_t>(
          std::lower_bound(offsets.begin(), std::prev(offsets.end()), offset) - offsets.begin());
    };
    if (w.document == SIZE_MAX) w.document = first_from(p.begin);
    if (w.document < first_from(p.end)) {
      const std::uint64_t n_bytes = document_bytes(file, w.document);
      const std::uint64_t offset = is_text ? 0 : corpus_.offsets[file][w.document];
      w.streams.push_back({w.current.number,
                           {file, offset, is_text ? kToTheEnd : offset + n_bytes},
                           static_cast<double>(n_bytes)});
      w.unread_bytes -= std::min(w.unread_bytes, n_bytes);
      ++w.open[w.current.number].n_documents;
      ++w.document;
      return true;
    }
    w.document = SIZE_MAX;
    if (++w.range < w.current.ranges.size()) continue;
    w.open[w.current.number].is_read = true;
    w.reading = false;
    if (w.waiting.empty()) w.unread_bytes = 0;
  }
  return false;
}

void SimulatedCluster::fill(Worker& w) {
  while (std::optional<Lease> lease = w.link->take_lease()) {
    if (w.first_s < 0.0) w.first_s = now_;
    if (first_lease_s_ < 0.0) first_lease_s_ = now_;
    for (const LeasedRange& p : lease->ranges) w.unread_bytes += p.n_bytes;
    w.open[lease->number];
    w.waiting.push_back(std::move(*lease));
  }
  while (w.streams.size() < options_.n_streams && read(w)) {
  }
}

// The documents in the model share its rate.
void SimulatedCluster::advance(Worker& w) {
  const double passed = now_ - w.advanced_s;
  w.advanced_s = now_;
  if (w.streams.empty()) {
    if (w.first_s >= 0.0) w.idle_s += passed;
    return;
  }
  const double each = passed * w.bytes_per_second / static_cast<double>(w.streams.size());
  std::erase_if(w.streams, [&](Worker::Stream& s) {
    s.left_bytes -= each;
    w.situation.counters.n_tokens += static_cast<std::uint64_t>(each / 4.0);
    if (s.left_bytes > kDone) return false;
    Worker::Open& open = w.open[s.lease];
    --open.n_documents;
    open.computed.push_back(s.document);
    ++w.situation.counters.n_documents;
    w.dirty = true;
    return true;
  });
}

void SimulatedCluster::sync(Worker& w) {
  w.synced_s = now_;
  w.dirty = false;
  for (auto it = w.open.begin(); it != w.open.end();) {
    Worker::Open& open = it->second;
    result_.n_documents += open.computed.size();
    open.durable.insert(open.durable.end(), open.computed.begin(), open.computed.end());
    open.computed.clear();
    if (!open.is_read || open.n_documents > 0) {
      ++it;
      continue;
    }
    w.link->finished(it->first);
    w.has_news = true;
    it = w.open.erase(it);
  }
}

void SimulatedCluster::publish(Worker& w) {
  WorkerSituation& s = w.situation;
  const Wants before = s.wants;
  s.wants = Wants::nothing;
  if (w.open.size() <= 2 * kMostUnsynced) {
    if (w.streams.size() < options_.n_streams)
      s.wants = Wants::now;
    else if (w.waiting.empty())
      s.wants = Wants::ahead;
  }
  double bytes = static_cast<double>(w.unread_bytes);
  for (const Worker::Stream& stream : w.streams) bytes += stream.left_bytes;
  s.bytes_open = static_cast<std::uint64_t>(std::max(0.0, bytes));
  w.has_news = w.has_news || s.wants != before;
}

void SimulatedCluster::start(Worker& w) {
  if (now_ < w.ready_s || w.situation.phase != WorkerPhase::starting) return;
  w.link->register_worker({.host = "node" + std::to_string(w.rank),
                           .pid = w.rank,
                           .n_threads = 32,
                           .device = "a device",
                           .fingerprint = "0123456789abcdef",
                           .differences = "dtype bf16"});
  const Heartbeat& orders = w.link->orders();
  if (orders.launch == 0 || !orders.is_known) return;
  w.situation.phase = WorkerPhase::working;
  w.situation.journal_is_open = true;
  w.has_news = true;
  w.advanced_s = w.synced_s = now_;
}

double SimulatedCluster::next_event(const Worker& w) const {
  double next = w.sent_s + (w.has_news ? 0.0101 : 1.0);
  if (w.dirty) next = std::min(next, w.synced_s + options_.sync_s);
  for (const Worker::Stream& s : w.streams) {
    next = std::min(
        next, now_ + s.left_bytes * static_cast<double>(w.streams.size()) / w.bytes_per_second);
  }
  return std::max(next, now_ + 1e-6);
}

// Something has happened to a worker, or is due.
void SimulatedCluster::wake(int rank) {
  Worker& w = *workers_[static_cast<std::size_t>(rank)];
  if (!w.alive || w.situation.phase == WorkerPhase::left) return;
  start(w);
  if (w.situation.phase == WorkerPhase::working) {
    advance(w);
    fill(w);
    const RunOrder order = w.link->orders().order;
    if (w.streams.empty() || now_ - w.synced_s >= options_.sync_s ||
        w.open.size() > kMostUnsynced) {
      if (w.dirty || w.streams.empty()) sync(w);
    }
    publish(w);
    if (order != RunOrder::work && order != RunOrder::wait) w.situation.phase = WorkerPhase::left;
  }
  w.link->update(w.situation);
  w.link->tick(now_);
  events_.push({next_event(w), rank, ++w.generation});
}

}  // namespace tovamill
