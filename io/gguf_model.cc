#include "io/gguf_model.h"

#include <filesystem>

#include "io/digest.h"

namespace tovamill {

GgufModel::GgufModel(const std::string& path) : file_(path), contents_(read_gguf(file_, table_)) {}

std::string GgufModel::digest() const {
  Digest digest;
  digest.add(std::string_view(std::filesystem::path(file_.path()).filename().native()));
  digest.add(static_cast<std::uint64_t>(file_.bytes().size()));
  digest.add(contents_.header);
  for (const TensorView& tensor : table_.tensors()) digest.add_sample(tensor);
  return digest.hex();
}

}  // namespace tovamill
