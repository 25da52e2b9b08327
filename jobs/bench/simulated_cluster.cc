#include "jobs/bench/simulated_cluster.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <map>

#include "jobs/bench/simulated_worker.h"
#include "kernels/types/error.h"
#include "pipeline/distributed/local_channel.h"
#include "pipeline/distributed/span_set.h"

namespace tovamill {
namespace {

constexpr double kIterationSeconds =
    0.002;                               // between turns of the coordinator, as CoordinatingRank
constexpr double kShowSeconds = 0.1;     // as CoordinatingRank
constexpr double kReviewSeconds = 0.5;   // to read the journal of a dead worker
constexpr double kStartSeconds = 5.0;    // in which the workers become ready
constexpr double kMostSeconds = 3600.0;  // simulated; longer is a failure

}  // namespace

std::uint64_t resident_bytes() {
  malloc_trim(0);
  std::uint64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

double thread_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class SimulatedCluster::Port final : public Channel {
 public:
  Port(SimulatedCluster& cluster, int rank) : cluster_(cluster), rank_(rank) {}
  int rank() const override { return rank_; }
  int n_ranks() const override { return cluster_.options_.n_workers + 1; }
  void send(int to, Message message) override {
    check_message(to, n_ranks(), message);
    cluster_.post(rank_, to, std::move(message));
  }
  std::optional<Envelope> receive() override { return std::nullopt; }

 private:
  SimulatedCluster& cluster_;
  int rank_;
};

SimulatedCluster::SimulatedCluster(SimulatedCorpus corpus, const SimulationOptions& options)
    : corpus_(std::move(corpus)), options_(options) {
  for (int rank = 0; rank <= options_.n_workers; ++rank) {
    ports_.push_back(std::make_unique<Port>(*this, rank));
    auto w = std::make_unique<Worker>();
    w->rank = rank;
    w->ready_s = uniform(kStartSeconds);
    w->bytes_per_second = options_.bytes_per_second * (0.8 + uniform(0.4));
    w->link = std::make_unique<WorkerLink>(*ports_.back(), 0, 20.0, 0.0);
    if (rank > 0) events_.push({w->ready_s, rank, 0});
    workers_.push_back(std::move(w));
  }
  const double about_s =
      static_cast<double>(corpus_.n_bytes) / options_.bytes_per_second / options_.n_workers;
  for (int i = 0; i < options_.n_deaths; ++i) {
    deaths_.emplace_back(kStartSeconds + uniform(0.9 * about_s),
                         1 + i * options_.n_workers / options_.n_deaths);
  }
  std::sort(deaths_.rbegin(), deaths_.rend());
}
SimulatedCluster::~SimulatedCluster() = default;

void SimulatedCluster::post(int from, int to, Message message) {
  result_.most_bytes = std::max(result_.most_bytes, message.size());
  const double at = now_ + uniform(options_.delay_s);
  if (to == 0) {
    Worker& w = *workers_[static_cast<std::size_t>(from)];
    w.sent_s = now_;
    w.has_news = false;
    to_coordinator_.push({at, from, to, std::move(message)});
  } else {
    ++result_.n_sent;
    to_workers_.push({at, from, to, std::move(message)});
  }
}

void SimulatedCluster::kill(int rank) {
  Worker& w = *workers_[static_cast<std::size_t>(rank)];
  advance(w);
  w.alive = false;
  // Every other one dies where its process is seen; the rest fall silent.
  if (rank % 2 == 0) seen_deaths_.emplace_back(now_ + 0.1, rank);
}

// What the journal has is what was synced.
JournalFindings SimulatedCluster::review(const Review& r) const {
  const Worker& w = *workers_[static_cast<std::size_t>(r.rank)];
  std::map<std::uint32_t, SpanSet> done;
  for (const auto& [number, open] : w.open) {
    for (const FileRange& d : open.durable) done[d.file].add(d.begin, d.end);
  }
  JournalFindings findings;
  for (const FileRange& p : r.ranges) {
    for (const Span& s : done[p.file].missing(p.begin, p.end))
      findings.left.push_back({p.file, s.begin, s.end});
  }
  for (const Worker::Stream& s : w.streams)
    findings.suspects.push_back(
        {.file = s.document.file, .offset = s.document.begin, .n_deaths = 1});
  return findings;
}

void SimulatedCluster::begin() {
  CoordinatorOptions options;
  options.first_worker = 1;
  for (int rank = 0; rank <= options_.n_workers; ++rank)
    options.hosts.push_back(static_cast<std::uint64_t>(rank));
  result_.resident_before = resident_bytes();
  coordinator_ = std::make_unique<Coordinator>(
      options, *ports_[0],
      [this](int rank, std::vector<FileRange> ranges) {
        reviews_.push_back({now_ + kReviewSeconds, rank, std::move(ranges)});
      },
      0.0);
  coordinator_->set_dtype(std::string(name_of(ComputeType::bf16)));
  RunWork work;
  work.fingerprint = "0123456789abcdef";
  work.files = corpus_.files;
  for (std::uint32_t f = 0; f < work.files.size(); ++f) {
    work.extents.push_back(extent_of(work.files[f]));
    work.ranges.push_back(
        {f, 0, work.extents[f].can_be_cut() ? work.extents[f].n_places : kToTheEnd});
  }
  const double start = thread_cpu_s();
  coordinator_->begin(std::move(work), 0.0);
  result_.begin_s = thread_cpu_s() - start;
  result_.resident_begun = resident_bytes();
  status_ = std::make_unique<RunStatus>(options_.directory, "");
}

// As CoordinatingRank::show.
void SimulatedCluster::show() {
  const WorkerCounters totals = coordinator_->totals();
  if (now_ - shown_s_ < kShowSeconds && totals.n_tokens == shown_tokens_) return;
  shown_s_ = now_;
  shown_tokens_ = totals.n_tokens;
  RunProgress p;
  p.n_documents = totals.n_documents;
  p.n_ranks = coordinator_->n_alive();
  for (const Coordinator::Worker& w : coordinator_->workers())
    p.tokens_per_second += w.tokens_per_second;
  p.fraction = 1.0 - static_cast<double>(coordinator_->bytes_left()) /
                         static_cast<double>(coordinator_->bytes_total());
  status_->update(p, *coordinator_, now_);
}

void SimulatedCluster::iterate() {
  const double start = thread_cpu_s();
  double before = start;
  const auto lap = [&](double& sum, double& longest) {
    const double after = thread_cpu_s();
    sum += after - before;
    longest = std::max(longest, after - before);
    before = after;
  };
  while (!to_coordinator_.empty() && to_coordinator_.top().at_s <= now_) {
    const InFlight& m = to_coordinator_.top();
    coordinator_->receive({m.from, m.message}, now_);
    to_coordinator_.pop();
    ++result_.n_received;
    lap(result_.receive_s, result_.longest_receive_s);
  }
  coordinator_->tick(now_);
  lap(result_.tick_s, result_.longest_tick_s);
  show();
  lap(result_.show_s, result_.longest_show_s);
  const double iteration_s = thread_cpu_s() - start;
  result_.longest_iteration_s = std::max(result_.longest_iteration_s, iteration_s);
  result_.cpu_s += iteration_s;
  now_ += iteration_s;
}

SimulationResult SimulatedCluster::run() {
  begin();
  double next_iteration_s = 0.0;
  while (coordinator_->outcome() == RunOutcome::running && now_ < kMostSeconds) {
    const double events_s = events_.empty() ? 1e18 : events_.top().at_s;
    const double messages_s = to_workers_.empty() ? 1e18 : to_workers_.top().at_s;
    if (next_iteration_s <= std::min(events_s, messages_s)) {
      now_ = next_iteration_s;
      while (!deaths_.empty() && deaths_.back().first <= now_) {
        kill(deaths_.back().second);
        deaths_.pop_back();
      }
      std::erase_if(seen_deaths_, [&](const auto& d) {
        if (d.first > now_) return false;
        coordinator_->ended(d.second, now_);
        return true;
      });
      for (std::size_t i = 0; i < reviews_.size();) {
        if (reviews_[i].at_s > now_) {
          ++i;
          continue;
        }
        const Review r = std::move(reviews_[i]);
        reviews_.erase(reviews_.begin() + static_cast<std::ptrdiff_t>(i));
        coordinator_->reviewed(r.rank, review(r));
      }
      iterate();
      next_iteration_s = now_ + kIterationSeconds;
    } else if (messages_s <= events_s) {
      const InFlight m = to_workers_.top();
      to_workers_.pop();
      now_ = std::max(now_, m.at_s);
      Worker& w = *workers_[static_cast<std::size_t>(m.to)];
      if (!w.alive) continue;
      w.link->receive(m.message, now_);
      w.has_news = w.has_news || kind_of(m.message) == MessageKind::lease;
      wake(m.to);
    } else {
      const Event e = events_.top();
      events_.pop();
      if (workers_[static_cast<std::size_t>(e.rank)]->generation != e.generation) continue;
      now_ = std::max(now_, e.at_s);
      wake(e.rank);
    }
  }
  result_.resident_end = resident_bytes();
  result_.simulated_s = now_ - first_lease_s_;
  double idle = 0.0, whole = 0.0;
  for (const auto& w : workers_) {
    if (w->first_s < 0.0 || !w->alive) continue;
    advance(*w);
    idle += w->idle_s;
    whole += now_ - w->first_s;
    result_.longest_idle_s = std::max(result_.longest_idle_s, w->idle_s);
  }
  result_.idle_share = idle / whole;
  if (coordinator_->outcome() != RunOutcome::complete ||
      result_.n_documents != corpus_.n_documents) {
    throw Error(ExitCode::internal, "the simulated run did " + std::to_string(result_.n_documents) +
                                        " documents of " + std::to_string(corpus_.n_documents) +
                                        " and ended with outcome " +
                                        std::to_string(static_cast<int>(coordinator_->outcome())));
  }
  return result_;
}

}  // namespace tovamill
