// A model in a directory as Hugging Face's libraries write it.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "io/files/mapped_file.h"
#include "io/model/model_files.h"
#include "io/model/tensor_table.h"

namespace tovamill {

// The end of a message about a path that is no model.
inline constexpr const char* kWhatAModelIs =
    ": give a directory with config.json, tokenizer.json and *.safetensors, or a .gguf file";

class HfModel : public ModelFiles {
 public:
  // The weights are those of model.safetensors if it exists, else of the shards that
  // model.safetensors.index.json names.
  HfModel(const std::string& directory, Parts parts);

  Format format() const override { return Format::hugging_face; }
  const std::string& path() const override { return path_; }
  const nlohmann::json& config() const override { return config_; }
  const nlohmann::json& tokenizer() const override { return tokenizer_; }
  const nlohmann::json& tokenizer_config() const override { return tokenizer_config_; }
  const nlohmann::json& generation_config() const override { return generation_config_; }
  const nlohmann::json& special_tokens_map() const override { return special_tokens_map_; }
  const nlohmann::json& added_tokens() const override { return added_tokens_; }
  std::string chat_template() const override;
  std::optional<TensorView> find_tensor(const std::string& name) const override {
    return table_.find(name);
  }
  const std::vector<TensorView>& tensors() const override { return table_.tensors(); }
  const std::vector<std::string>& tensor_names() const override { return table_.names(); }
  std::vector<std::string> file_paths() const override;
  std::string digest() const override;

 private:
  struct WeightFile {
    MappedFile file;
    std::span<const std::byte> header;
  };

  std::string file_path(const std::string& name) const;
  bool has(const std::string& name) const;
  void refuse_unread_chat_templates() const;
  nlohmann::json read_if_there(const std::string& name) const;
  void open_weights();
  void open_shards(const std::string& index_name);
  void open_weight_file(const std::string& name);
  [[noreturn]] void refuse_missing_weights() const;

  std::string path_;
  nlohmann::json config_, tokenizer_, tokenizer_config_, generation_config_;
  nlohmann::json special_tokens_map_, added_tokens_;
  std::optional<std::string> chat_template_file_;  // the content of chat_template.jinja
  std::vector<WeightFile> weight_files_;
  TensorTable table_;
};

}  // namespace tovamill
