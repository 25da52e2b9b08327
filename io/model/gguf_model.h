// A model in one GGUF file, or in the parts NAME-00001-of-0000N.gguf and so on of one that
// llama-gguf-split has split: each has `split.no`, its number from 0, `split.count` and
// `split.tensors.count`, those of all parts; the first has all other metadata.
#pragma once

#include <vector>

#include "io/files/mapped_file.h"
#include "io/model/gguf.h"
#include "io/model/model_files.h"
#include "io/model/tensor_table.h"

namespace tovamill {

class GgufModel : public ModelFiles {
 public:
  // `path` is the file or any part. Throws Error(no_input) where a part is missing, BadData where
  // the parts contradict their names or each other.
  explicit GgufModel(const std::string& path);

  Format format() const override { return Format::gguf; }
  const std::string& path() const override { return parts_.front().file.path(); }
  const nlohmann::json& config() const override { return parts_.front().contents.metadata; }
  const nlohmann::json& tokenizer() const override { return none_; }
  const nlohmann::json& tokenizer_config() const override { return none_; }
  const nlohmann::json& generation_config() const override { return none_; }
  std::string chat_template() const override;
  std::optional<TensorView> find_tensor(const std::string& name) const override {
    return table_.find(name);
  }
  const std::vector<TensorView>& tensors() const override { return table_.tensors(); }
  const std::vector<std::string>& tensor_names() const override { return table_.names(); }
  std::vector<std::string> file_paths() const override;
  std::string digest() const override;

 private:
  struct Part {
    MappedFile file;
    GgufContents contents;
  };

  void open_part(const std::string& path);
  void open_parts(const std::string& path);
  void check_part(std::size_t number, std::size_t n_parts) const;

  TensorTable table_;
  std::vector<Part> parts_;  // in order
  nlohmann::json none_;
};

// The .gguf file of a directory without config.json: its only one, or the first part of its only
// model; empty where there is none. Throws Error(usage) where there are several.
std::string gguf_of_directory(const std::string& directory);

// The parts that exist of the split model of which `path` is one, by its name; else `path` alone.
std::vector<std::string> gguf_parts_of(const std::string& path);

}  // namespace tovamill
