#include "io/model/tensor_table.h"

#include <algorithm>
#include <utility>

#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

void TensorTable::add(TensorView tensor, const std::string& file) {
  insert(tensor.name, {tensors_.size(), "", file});
  tensors_.push_back(std::move(tensor));
}

void TensorTable::add_unsupported(const std::string& name, const std::string& type,
                                  const std::string& file) {
  insert(name, {0, type, file});
}

void TensorTable::insert(const std::string& name, const Entry& entry) {
  const std::string file = entry.file;
  const auto [place, is_new] = entries_.try_emplace(name, entry);
  if (is_new) return names_.push_back(name);
  const std::string& first = place->second.file;
  throw BadData(file + ": tensor " + printable(name) + " is there twice" +
                (first == file ? "" : ": also in " + first));
}

std::optional<TensorView> TensorTable::find(const std::string& name) const {
  const auto place = entries_.find(name);
  if (place == entries_.end()) return std::nullopt;
  const Entry& entry = place->second;
  if (!entry.unsupported_type.empty()) {
    throw BadData(
        entry.file + ": tensor " + printable(name) + " has the element type " +
        entry.unsupported_type +
        ", which is not supported: use a file with F32, F16 or BF16, in GGUF also Q2_K to "
        "Q6_K, Q4_0 to Q8_0, IQ1 to IQ4, TQ1_0, TQ2_0 or MXFP4");
  }
  return tensors_[entry.index];
}

void refuse_overlaps(std::vector<TensorExtent> extents, const std::string& file) {
  std::erase_if(extents, [](const TensorExtent& e) { return e.begin == e.end; });
  std::sort(extents.begin(), extents.end(),
            [](const TensorExtent& a, const TensorExtent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin >= extents[i - 1].end) continue;
    throw BadData(file + ": tensors " + printable(extents[i - 1].name) + " and " +
                  printable(extents[i].name) + " overlap at data byte " +
                  std::to_string(extents[i].begin));
  }
}

std::optional<std::int64_t> checked_n_bytes(const std::vector<std::int64_t>& shape,
                                            BlockFormat format) {
  // A zero anywhere makes the product zero, but the others must not overflow on the way.
  std::int64_t n_elements = 1, n_bytes = 0;
  for (const std::int64_t n : shape) {
    if (__builtin_mul_overflow(n_elements, std::max<std::int64_t>(n, 1), &n_elements)) {
      return std::nullopt;
    }
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  const std::int64_t n_blocks = n_elements / format.n_elements;
  if (__builtin_mul_overflow(n_blocks, std::int64_t{format.n_bytes}, &n_bytes)) return std::nullopt;
  return n_bytes;
}

}  // namespace tovamill
