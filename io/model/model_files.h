// A model as it lies on disk: a Hugging Face directory or one GGUF file, memory-mapped and checked,
// nothing decoded; or one of random weights that is made in memory (random_model.h).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill {

class ModelFiles {
 public:
  enum class Format { hugging_face, gguf };
  // What is read: `all` for scoring; `tokenizer_only` needs no weights (a directory without
  // *.safetensors is fine).
  enum class Parts { all, tokenizer_only, weights_only };

  // Throws Error(no_input) where the path or a needed file is missing, BadData where a file is
  // broken, Error(usage) for "random:" with a name that is not known.
  static std::unique_ptr<ModelFiles> open(const std::string& path, Parts parts);
  // Whether `path` names a model that has no files: "random:NAME".
  static bool is_in_memory(const std::string& path);
  virtual ~ModelFiles() = default;

  virtual Format format() const = 0;
  virtual const std::string& path() const = 0;
  // Hugging Face: config.json. GGUF: the metadata as a flat object.
  virtual const nlohmann::json& config() const = 0;
  // Hugging Face only; null where the file is absent.
  virtual const nlohmann::json& tokenizer() const = 0;
  virtual const nlohmann::json& tokenizer_config() const = 0;
  virtual const nlohmann::json& generation_config() const = 0;
  virtual const nlohmann::json& special_tokens_map() const;
  virtual const nlohmann::json& added_tokens() const;
  // The model's own Jinja chat template; empty where there is none. Hugging Face:
  // chat_template.jinja, else chat_template in tokenizer_config.json, of several the one named
  // "default". GGUF: tokenizer.chat_template. Throws BadData where it is no text, is empty, is not
  // UTF-8 or is longer than 1 MiB, and where there are several and none is the default.
  virtual std::string chat_template() const = 0;
  // By the name in the file; the view lives as long as this object. Its data may lie at any
  // address, aligned or not. Throws BadData where the tensor's element type is not supported.
  virtual std::optional<TensorView> find_tensor(const std::string& name) const = 0;
  virtual const std::vector<TensorView>& tensors()
      const = 0;  // in file order, supported types only
  // Of all types, also those that are not supported, in file order.
  virtual const std::vector<std::string>& tensor_names() const = 0;
  // The paths of the files that were read: what another machine needs to open the same model. None
  // for a model made in memory.
  virtual std::vector<std::string> file_paths() const = 0;
  // A digest of the model's identity for the fingerprint, 16 hexadecimal digits: the JSON files or
  // the GGUF metadata, the names, sizes and headers of the weight files, and a sample of every
  // tensor, so that gigabytes need not be read.
  virtual std::string digest() const = 0;
};

}  // namespace tovamill
