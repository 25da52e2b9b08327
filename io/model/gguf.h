// The GGUF format, versions 2 and 3, little-endian:
//   "GGUF", u32 version, u64 n_tensors, u64 n_values, then the values (string key, u32 type,
//   value), then the tensors (string name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset),
//   padding to the alignment, the data.
// A string is a u64 length and its bytes; an array a u32 element type, a u64 count and the
// elements. Dimensions stand innermost first; offsets count from the start of the data. Source:
// docs/gguf.md of github.com/ggml-org/ggml.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>

#include "io/files/mapped_file.h"
#include "io/model/tensor_table.h"

namespace tovamill {

struct GgufContents {
  nlohmann::json
      metadata;  // one flat object of key -> value; strings hold the file's bytes, UTF-8 or not
  std::span<const std::byte> header;  // the bytes up to the end of the tensor list
};

// Adds every tensor of `file` to `table` in the file's order, as views of the mapped memory with
// the outermost dimension first; types that are not decoded are added as unsupported. Throws
// BadData naming file, byte or tensor, and what is wrong. No allocation is larger than a small
// multiple of the size of the file.
GgufContents read_gguf(const MappedFile& file, TensorTable& table);

}  // namespace tovamill
