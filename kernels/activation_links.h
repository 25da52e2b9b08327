// Hidden rows that go from one GPU to the next by NCCL, where the layers of a model are cut into
// stages on GPUs of their own: a link between each stage and the one behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "kernels/nccl_group.h"
#include "kernels/types/error.h"

namespace tovamill {

class Buffer;

// The group of ranks cannot go on: one of them is gone, or it was ended. Costs these ranks, not the
// run.
class StageLost : public Error {
 public:
  explicit StageLost(const std::string& why) : Error(ExitCode::stopped, why) {}
};

// A stage's part in its line.
struct ActivationLinksPlace {
  // Of the links to the stage before and to the one behind; none at the ends of the line.
  std::optional<NcclGroupId> before = std::nullopt, behind = std::nullopt;
  std::int32_t hidden_size = 0;
  double join_s = 60.0;      // both ends of a link must come within so long
  double timeout_s = 400.0;  // rows that are on their way for longer stand still
  // Why the line was closed, if it was. Asked again and again, by a thread of the links as well.
  std::function<std::optional<std::string>()> why_closed = [] { return std::nullopt; };
  // Told once by that thread, or the one that computes, why rows are lost: nobody is to wait for
  // what follows from them.
  std::function<void(const std::string& why)> on_lost = [](const std::string&) {};
};

// Of one stage. Nothing waits on the host: rows are ordered behind and before what the backend does
// with their buffers. A link that fails, is over its timeout or whose line is closed is broken off
// by a thread of its own, so whatever waits for the device, wherever it does, comes back.
class ActivationLinks {
 public:
  virtual ~ActivationLinks() = default;  // breaks off what is left, and waits for no other stage

  // As ActivationTransfer's, of the step that has begun last. Both throw StageLost.
  virtual void receive(Buffer& rows, std::int32_t n_rows) = 0;
  virtual void send(const Buffer& rows, std::int32_t n_rows) = 0;
  // After a wait for the device: throws StageLost where what was waited for may lack rows.
  virtual void check() const = 0;
};

}  // namespace tovamill
