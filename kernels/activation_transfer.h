// How the hidden rows of a step come from the stage before and go on to the stage behind, where the
// layers of a model are cut into stages on several devices:
//
//   Forward -> ActivationTransfer -> in messages: Device::read_rows, the message, write_rows
//                                 -> GPU to GPU: cuda::NcclTransfer -> Link -> Communicator
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/nccl_group.h"
#include "kernels/types/error.h"

namespace tovamill {

class Buffer;
class Device;

// The stages of a group cannot go on: one of them is gone, or the group was ended. Costs these
// ranks, not the run.
class StageLost : public Error {
 public:
  explicit StageLost(const std::string& why) : Error(ExitCode::stopped, why) {}
};

// A stage's part in its line.
struct ActivationLinksPlace {
  // Of the links to the stage before and to the one behind; none at the ends of the stage group.
  std::optional<NcclGroupId> before = std::nullopt, behind = std::nullopt;
  std::int32_t hidden_size = 0;
  double join_s = 60.0;      // both ends of a link must come within so long
  double timeout_s = 400.0;  // rows that are on their way for longer stand still
  // Why the stage channel was closed, if it was. Asked again and again, by a thread of the links as
  // well.
  std::function<std::optional<std::string>()> why_closed = [] { return std::nullopt; };
  // Told once by that thread, or the one that computes, why rows are lost: nobody is to wait for
  // what follows from them.
  std::function<void(const std::string& why)> on_lost = [](const std::string&) {};
};

// Of one stage. Each step's description travels as a message; its rows go with it, or, where a
// device sends them by itself, another way: then what put_message and take_message handle is empty.
class ActivationTransfer {
 public:
  virtual ~ActivationTransfer() = default;  // waits for no other stage

  // In a step, between begin_step and its first layer: the rows that the stage before has sent
  // become the first `n_rows` of `rows` (n, hidden_size; BufferType::full). Throws Error(internal)
  // where they are not as many, StageLost.
  virtual void receive(Buffer& rows, std::int32_t n_rows) = 0;
  // In a step, behind its last layer: the first `n_rows` go to the stage behind. Throws StageLost.
  virtual void send(const Buffer& rows, std::int32_t n_rows) = 0;

  // Before `receive`: what came with the step's message.
  virtual void put_message(std::span<const std::byte>) {}
  // After `send`: what is to go with the step's message.
  virtual std::vector<std::byte> take_message() { return {}; }
  // The rows of a step that could not begin will not be received, and are not the next step's.
  virtual void miss() {}
  // After a step was waited for: throws StageLost where its rows may not have come.
  virtual void check() const {}
};

// Rows in the messages, as float32: lossless where buffers of the type `full` are that. The device
// outlives it.
std::unique_ptr<ActivationTransfer> make_message_transfer(Device& device, std::int32_t hidden_size);

}  // namespace tovamill
