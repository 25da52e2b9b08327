// How the hidden rows of a stage come and go: from GPU to GPU where all stages are linked, else in
// the messages between them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/activation_links.h"
#include "kernels/activation_transfer.h"
#include "workers/stages/stage_channel.h"

namespace tovamill {

class StageRows final : public ActivationTransfer {
 public:
  // In messages. Backend and line outlive the object.
  StageRows(Backend& backend, std::int32_t hidden_size, const StagePlace& place);

  // Links this stage to the one before and the one behind, where there is one; before any step.
  // Empty, or why it cannot be. Waits for these stages, for a time; throws StageLost where the line
  // is closed meanwhile.
  std::string link(const std::optional<NcclGroupId>& before,
                   const std::optional<NcclGroupId>& behind);
  // In messages again; before any step.
  void unlink() { links_.reset(); }
  bool is_linked() const { return links_ != nullptr; }
  // The rows of a step that could not begin will not be received, and are not the next step's.
  void miss() { has_missed_ = true; }

  void receive(Buffer& rows, std::int32_t n_rows) override;
  void send(const Buffer& rows, std::int32_t n_rows) override;
  void put_message(std::span<const std::byte> bytes) override { messages_->put_message(bytes); }
  std::vector<std::byte> take_message() override { return messages_->take_message(); }
  void check() const override;

 private:
  Backend& backend_;
  const std::int32_t hidden_size_;
  const StagePlace place_;
  std::unique_ptr<ActivationTransfer> messages_;
  std::unique_ptr<ActivationLinks> links_;
  bool has_missed_ = false;
};

}  // namespace tovamill
