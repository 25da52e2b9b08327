// A model of random weights made in memory, for benchmarks and trials without a model file: the
// shapes of well-known models by name, "random:llama-7b". It reads as a Hugging Face directory
// does, without any file.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/model/model_files.h"
#include "io/model/tensor_table.h"

namespace tovamill {

inline constexpr std::string_view kRandomModelPrefix = "random:";

// The names that may stand behind the prefix.
std::vector<std::string> random_model_names();

class RandomModel : public ModelFiles {
 public:
  // `path` is the prefix and a name. Throws Error(usage) naming those that there are where it is
  // none of them, OutOfMemory. With `all` and `weights_only` the weights are made at once, by as
  // many threads as there are cores, at most 16; with `tokenizer_only` there are none.
  RandomModel(const std::string& path, Parts parts);

  Format format() const override { return Format::hugging_face; }
  const std::string& path() const override { return path_; }
  const nlohmann::json& config() const override { return config_; }
  const nlohmann::json& tokenizer() const override { return tokenizer_; }
  const nlohmann::json& tokenizer_config() const override { return tokenizer_config_; }
  const nlohmann::json& generation_config() const override { return generation_config_; }
  std::string chat_template() const override { return ""; }
  std::optional<TensorView> find_tensor(const std::string& name) const override {
    return table_.find(name);
  }
  const std::vector<TensorView>& tensors() const override { return table_.tensors(); }
  const std::vector<std::string>& tensor_names() const override { return table_.names(); }
  std::vector<std::string> file_paths() const override { return {}; }
  // The digest of the name and of the way in which the numbers are made.
  std::string digest() const override;

 private:
  std::string path_;
  nlohmann::json config_, tokenizer_, tokenizer_config_, generation_config_;
  std::unique_ptr<std::uint16_t[]> pool_;  // bf16
  std::vector<std::uint16_t> ones_;        // bf16, for the norms
  TensorTable table_;
};

}  // namespace tovamill
