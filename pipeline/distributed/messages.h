// The messages between the coordinator and its workers. Every message tells a state, not a change,
// and is sent again until it is answered: a lost, late or duplicated message does no harm.
//
//   worker -> coordinator: Registration (until a heartbeat confirms it), Report (every second, and
//     at every event), WorkerFailure
//   coordinator -> worker: Heartbeat (every second), Lease (until a report accepts it)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/corpus/corpus_format.h"
#include "pipeline/distributed/channel.h"
#include "pipeline/distributed/lease.h"
#include "pipeline/distributed/weights_place.h"

namespace tovamill {

enum class MessageKind : std::uint8_t {
  registration = 1,
  report = 2,
  failure = 3,
  heartbeat = 16,
  lease = 17,
};

struct Registration {
  std::string host;
  std::int32_t pid = 0;
  std::int32_t n_threads = 0;
  std::string device;       // for people, at most kMostTextBytes
  std::string fingerprint;  // a digest of every option with an effect on results
  std::string differences;  // what most likely differs between ranks: "dtype bf16, model 1f..."
};

enum class WorkerPhase : std::uint8_t { starting, working, left };
enum class Wants : std::uint8_t { nothing, ahead, now };

// The work of a worker in this launch.
struct WorkerCounters {
  std::uint64_t n_documents = 0;
  std::uint64_t n_failed = 0;
  std::uint64_t n_tokens = 0;
  double seconds_computing = 0.0, seconds_waiting = 0.0, seconds_writing = 0.0;
  bool operator==(const WorkerCounters&) const = default;
};

struct Report {
  std::uint64_t number = 0;         // ascends; a report older than the latest is ignored
  std::uint64_t accepted = 0;       // leases 1 to `accepted` have arrived
  std::vector<std::uint64_t> open;  // of these, those whose work is not yet durable
  WorkerPhase phase = WorkerPhase::starting;
  Wants wants = Wants::nothing;
  bool stop_requested = false;   // this rank got a signal
  bool journal_is_open = false;  // the launch number has arrived and is in use
  std::uint64_t bytes_open = 0;  // of the open leases' text, not yet computed
  WorkerCounters counters;
  std::optional<WeightsPlace> weights;  // that this rank packed for its host
};

// The worker cannot continue and leaves.
struct WorkerFailure {
  int exit_code = 1;
  bool fatal = true;  // the run has to end; otherwise only this rank
  std::string text;
};

enum class RunOrder : std::uint8_t {
  wait,  // the run is not yet prepared
  work,
  stop,    // save what is in flight, close the journal, report that you left
  finish,  // no work is left: close the journal, report that you left
  leave,   // you were given up: stop computing and wait for the end
  end,     // the results are written: end
};

enum class WeightsOrder : std::uint8_t { wait, map_packed, pack_alone };

struct Heartbeat {
  std::uint64_t number = 0;
  RunOrder order = RunOrder::wait;
  bool is_known = false;    // the registration has arrived
  bool all_alive = true;    // no rank was lost in this launch: MPI_Finalize may be called
  std::int32_t launch = 0;  // 0: not yet known
  // The run's dtype, which rank 0 decides for all; empty: not yet known.
  std::string dtype;
  std::int32_t useful_streams = 0;            // as in RunOptions; holds once the dtype is known
  WeightsOrder weights = WeightsOrder::wait;  // for all ranks of a host but the one that packs
  WeightsPlace weights_place;
};

// A process that has not polled for so long has been standing still.
inline constexpr double kStandstillSeconds = 2.0;

// Texts in messages are cut to this length.
inline constexpr std::size_t kMostTextBytes = 1500;

Message encode(const Registration& m);
Message encode(const Report& m);
Message encode(const WorkerFailure& m);
Message encode(const Heartbeat& m);
Message encode(const Lease& m);

// Throws BadData for an empty message or an unknown kind.
MessageKind kind_of(const Message& m);
// Each checks every length and value; throws BadData.
Registration decode_registration(const Message& m);
Report decode_report(const Message& m);
WorkerFailure decode_failure(const Message& m);
Heartbeat decode_heartbeat(const Message& m);
Lease decode_lease(const Message& m);

// Whether a message goes to the coordinator (else to a worker).
bool is_for_coordinator(MessageKind kind);

}  // namespace tovamill
