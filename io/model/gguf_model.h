// A model in one GGUF file.
#pragma once

#include "io/files/mapped_file.h"
#include "io/model/gguf.h"
#include "io/model/model_files.h"
#include "io/model/tensor_table.h"

namespace tovamill {

class GgufModel : public ModelFiles {
 public:
  explicit GgufModel(const std::string& path);

  Format format() const override { return Format::gguf; }
  const std::string& path() const override { return file_.path(); }
  const nlohmann::json& config() const override { return contents_.metadata; }
  const nlohmann::json& tokenizer() const override { return none_; }
  const nlohmann::json& tokenizer_config() const override { return none_; }
  const nlohmann::json& generation_config() const override { return none_; }
  std::string chat_template() const override;
  std::optional<TensorView> find_tensor(const std::string& name) const override {
    return table_.find(name);
  }
  const std::vector<TensorView>& tensors() const override { return table_.tensors(); }
  const std::vector<std::string>& tensor_names() const override { return table_.names(); }
  std::vector<std::string> file_paths() const override { return {file_.path()}; }
  std::string digest() const override;

 private:
  MappedFile file_;
  TensorTable table_;
  GgufContents contents_;
  nlohmann::json none_;
};

}  // namespace tovamill
