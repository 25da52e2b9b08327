#include "kernels/activation_transfer.h"

#include <cstring>
#include <utility>

#include "kernels/device.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

class MessageTransfer final : public ActivationTransfer {
 public:
  MessageTransfer(Device& device, std::int32_t hidden_size)
      : device_(device), hidden_size_(static_cast<std::size_t>(hidden_size)) {}

  void receive(Buffer& rows, std::int32_t n_rows) override {
    if (arrived_.size() != n_values(n_rows))
      throw Error(ExitCode::internal, "a step came with other rows than its blocks have");
    device_.write_rows(rows, 0, arrived_);
  }

  void send(const Buffer& rows, std::int32_t n_rows) override {
    values_.resize(n_values(n_rows));
    device_.read_rows(rows, 0, values_);
    const auto bytes = std::as_bytes(std::span(values_));
    leaving_.assign(bytes.begin(), bytes.end());
  }

  void put_message(std::span<const std::byte> bytes) override {
    arrived_.resize(bytes.size() / sizeof(float));
    if (!arrived_.empty()) std::memcpy(arrived_.data(), bytes.data(), bytes.size());
  }

  std::vector<std::byte> take_message() override { return std::exchange(leaving_, {}); }

 private:
  std::size_t n_values(std::int32_t n_rows) const {
    return static_cast<std::size_t>(n_rows) * hidden_size_;
  }

  Device& device_;
  std::size_t hidden_size_;
  std::vector<float> arrived_, values_;  // (n_rows, hidden_size)
  std::vector<std::byte> leaving_;
};

}  // namespace

std::unique_ptr<ActivationTransfer> make_message_transfer(Device& device,
                                                          std::int32_t hidden_size) {
  return std::make_unique<MessageTransfer>(device, hidden_size);
}

}  // namespace tovamill
