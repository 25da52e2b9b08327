// One GPU, all memory in one arena: weights, rows, and the lanes that steps take. Set-up only; the
// step is backend.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/matrix_upload.h"
#include "kernels/cuda/gemm/row_gemm.h"
#include "kernels/cuda/nccl/group.h"
#include "kernels/cuda/state/attention_model.h"
#include "kernels/cuda/step/buffers.h"
#include "kernels/cuda/step/in_flight_steps.h"

namespace tovamill::cuda {

// The memory of a GPU, and what backends beside each other share in it.
struct DeviceMemory {
  DeviceMemory(const BackendOptions& options, int device);
  std::uint64_t wanted_bytes;  // of the arena, which may have become smaller
  std::shared_ptr<Arena> arena;
  RowGemm gemm;
  // Embeddings, by where they stand in the file.
  std::map<const std::byte*, std::unique_ptr<CudaMatrix>> tables;
  std::unordered_map<const float*, ArenaBlock> vectors;  // norms, by where the host has them
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const BackendOptions& options);

  std::string description() const override;
  std::string dtype_name() const override { return std::string(name_of(type_)); }
  int n_threads() const override { return 1; }
  std::int32_t row_tile() const override { return 1; }
  std::optional<std::uint64_t> device_bytes_left() const override {
    return memory_->arena->n_free();
  }

  std::unique_ptr<Matrix> pack(const MatrixSource& source) override;
  std::unique_ptr<Matrix> pack_gated(const GatedSource& source) override;
  std::unique_ptr<Experts> pack_experts(std::span<const ExpertTensors> experts) override;
  void hold_embedding(const TensorView& embedding) override;
  void end_set_up() override;
  std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                      BufferType type) override;
  void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) override;
  void read_rows(const Buffer& buffer, std::int32_t first_row,
                 std::span<float> rows) const override;
  std::unique_ptr<ActivationTransfer> link_activations(const ActivationLinksPlace& place) override;

  const AttentionModel& model() const { return model_; }
  const std::shared_ptr<Arena>& arena() const { return memory_->arena; }
  InFlightSteps& in_flight() { return in_flight_; }
  bool is_setting_up() const { return is_setting_up_; }
  // The embedding on the GPU; brings it there where it is another than before.
  const CudaMatrix& table(const TensorView& embedding);
  // A vector of the model, which stays where it is on the host, and is sent once.
  const float* on_device(std::span<const float> values);

 private:
  std::unique_ptr<CudaMatrix> pack_rows(const MatrixSource& source);
  void share(const ArenaBlock& piece, const std::string& name);
  void to_device(void* to, const void* from, std::size_t n_bytes);
  void to_host(void* to, const void* from, std::size_t n_bytes) const;

  BackendOptions options_;
  ComputeType type_;
  int index_ = 0;
  std::string name_;
  std::shared_ptr<DeviceMemory> memory_;
  AttentionModel model_;
  mutable InFlightSteps in_flight_;
  Stream stream_;  // of uploads, and of rows that the host reads and writes
  // Of set-up only. The group goes first: what it waits for must not be waited for.
  bool is_setting_up_ = true;
  std::unique_ptr<MatrixUpload> upload_;
  Stream share_stream_;
  std::unique_ptr<Group> group_;
};

// Device::link_activations where the build has NCCL, else throws NcclGroupError. The lanes outlive
// it.
std::unique_ptr<ActivationTransfer> make_nccl_transfer(const ActivationLinksPlace& place,
                                                       int device, InFlightSteps& in_flight);

}  // namespace tovamill::cuda
