#include "io/model/gguf_model.h"

#include <filesystem>

#include "io/model/chat_template_text.h"
#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

GgufModel::GgufModel(const std::string& path) : file_(path), contents_(read_gguf(file_, table_)) {}

std::string GgufModel::chat_template() const {
  const auto entry = contents_.metadata.find("tokenizer.chat_template");
  if (entry != contents_.metadata.end()) return chat_template_of(*entry, file_.path());
  for (const auto& [key, value] : contents_.metadata.items()) {
    if (!key.starts_with("tokenizer.chat_template")) continue;
    throw BadData(file_.path() + ": has several chat templates, of which none is the default (" +
                  printable(key) + " is one): choose one with --chat-template");
  }
  return "";
}

std::string GgufModel::digest() const {
  Digest digest;
  digest.add(std::string_view(std::filesystem::path(file_.path()).filename().native()));
  digest.add(static_cast<std::uint64_t>(file_.bytes().size()));
  digest.add(contents_.header);
  for (const TensorView& tensor : table_.tensors()) digest.add_sample(tensor);
  return digest.hex();
}

}  // namespace tovamill
