// The safetensors format: 8 bytes little-endian header length, a JSON header, the data.
//   {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__":
//   {...}}
// Offsets count from the end of the header. Source: the format's description at
// github.com/huggingface/safetensors.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "io/files/mapped_file.h"
#include "io/model/tensor_table.h"

namespace tovamill {

// Adds every tensor of `file` to `table` in the header's order, as views of the mapped memory;
// element types that are neither numbers of StorageType nor raw are added as unsupported. Returns
// the bytes up to the end of the header. Throws BadData naming file, tensor and what is wrong. Gaps
// between tensors are allowed, overlaps are not.
std::span<const std::byte> read_safetensors(const MappedFile& file, TensorTable& table);

}  // namespace tovamill
