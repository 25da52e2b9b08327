// The tensors of one model by name, over all its files.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill {

class TensorTable {
 public:
  // Adds a tensor whose bytes lie inside a file, as the caller has checked. Throws BadData where
  // the name is taken.
  void add(TensorView tensor, const std::string& file);
  // Adds a tensor of a type that is not decoded: an error only if it is asked for.
  void add_unsupported(const std::string& name, const std::string& type, const std::string& file);

  // nullopt where there is none. Throws BadData where the type of the tensor is not supported.
  std::optional<TensorView> find(const std::string& name) const;
  bool contains(const std::string& name) const { return entries_.contains(name); }
  // The tensors of supported types, in the order they were added.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // Of all types, in the order they were added.
  const std::vector<std::string>& names() const { return names_; }
  // The file of a tensor that is there.
  const std::string& file_of(const std::string& name) const { return entries_.at(name).file; }

 private:
  struct Entry {
    std::size_t index = 0;         // in tensors_
    std::string unsupported_type;  // empty: supported
    std::string file;
  };
  void insert(const std::string& name, const Entry& entry);

  std::vector<TensorView> tensors_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Entry> entries_;
};

// Half-open byte range of a tensor within its file's data.
struct TensorExtent {
  std::size_t begin;
  std::size_t end;
  std::string name;
};

// Throws BadData where two ranges share a byte. Empty ranges share none.
void refuse_overlaps(std::vector<TensorExtent> extents, const std::string& file);

// Bytes of a tensor of these dimensions, each >= 0, whose last is a multiple of the block; nullopt
// where the number of elements or bytes does not fit an int64.
std::optional<std::int64_t> checked_n_bytes(const std::vector<std::int64_t>& shape,
                                            BlockFormat format);

}  // namespace tovamill
