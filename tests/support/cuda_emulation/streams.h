// Streams, events and graphs of the emulation. What is put into streams waits until somebody waits
// for something; then operations of all streams are done in random order, each stream's in its own
// and after the events that it waits for, until that is reached. Threads that use devices do so one
// after another, each doing the work of all streams.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/support/cuda_emulation/cuda_runtime.h"

namespace tovamill::emulation {

// False where the device has failed.
bool take_operation();

// Held by whoever changes anything of the emulation.
std::unique_lock<std::recursive_mutex> lock_machine();

// Puts work behind what the stream has that begins once `may_begin` says so; it is asked while the
// work is the stream's next. Until then the stream waits for what another thread does.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work,
                    std::function<bool()> may_begin);

// What is known of an event's recordings; operations know it, too, so that an event may go before
// them.
struct Recordings {
  std::uint64_t n_recorded = 0, n_reached = 0;
  std::uint64_t when = 0;  // operations done before it was reached
};

struct Operation {
  std::function<void()> work;
  // It begins once so many recordings are reached; null: at any time.
  std::shared_ptr<const Recordings> awaited = nullptr;
  std::uint64_t recording = 0;
  std::function<bool()> may_begin = nullptr;
};

}  // namespace tovamill::emulation

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};

struct EmulatedStream {
  std::deque<tovamill::emulation::Operation> waiting;
  std::unique_ptr<EmulatedGraph> captured;
  bool is_spoilt = false;  // something came into the capture that no graph can hold
  EmulatedStream();
  ~EmulatedStream();
};

struct EmulatedEvent {
  std::shared_ptr<tovamill::emulation::Recordings> recordings =
      std::make_shared<tovamill::emulation::Recordings>();
};
