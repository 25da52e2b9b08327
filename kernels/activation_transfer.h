// How the hidden rows of a step come from the stage before and go on to the stage behind, where the
// layers of a model are cut into stages on several devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace tovamill {

// Of one stage. Each step's description travels as a message; its rows go with it, or, where a
// device sends them by itself, another way: then what put_message and take_message handle is empty.
class ActivationTransfer {
 public:
  virtual ~ActivationTransfer() = default;

  // In a step, between begin_step and its first layer: the rows that the stage before has sent
  // become the first `n_rows` of `rows` (n, hidden_size; BufferType::full). Throws Error(internal)
  // where they are not as many.
  virtual void receive(Buffer& rows, std::int32_t n_rows) = 0;
  // In a step, behind its last layer: the first `n_rows` go to the stage behind.
  virtual void send(const Buffer& rows, std::int32_t n_rows) = 0;

  // Before `receive`: what came with the step's message.
  virtual void put_message(std::span<const std::byte> bytes) = 0;
  // After `send`: what is to go with the step's message.
  virtual std::vector<std::byte> take_message() = 0;
  // After a step was waited for: throws StageLost where its rows may not have come.
  virtual void check() const {}
};

// Rows in the messages, as float32: lossless where buffers of the type `full` are that.
std::unique_ptr<ActivationTransfer> make_message_rows(Backend& backend, std::int32_t hidden_size);

}  // namespace tovamill
