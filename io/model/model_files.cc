#include "io/model/model_files.h"

#include <filesystem>
#include <system_error>

#include "io/model/gguf_model.h"
#include "io/model/hf_model.h"
#include "io/model/random_model.h"
#include "kernels/types/error.h"

namespace fs = std::filesystem;

namespace tovamill {

const nlohmann::json& ModelFiles::special_tokens_map() const {
  static const nlohmann::json null;
  return null;
}

const nlohmann::json& ModelFiles::added_tokens() const { return ModelFiles::special_tokens_map(); }

bool ModelFiles::is_in_memory(const std::string& path) {
  return path.starts_with(kRandomModelPrefix);
}

namespace {

// A name of the Hugging Face hub: "owner/model".
bool looks_like_hub_name(const std::string& path) {
  const std::size_t slash = path.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < path.size() &&
         path.find('/', slash + 1) == std::string::npos && !path.starts_with('.') &&
         !path.starts_with('~') && !path.ends_with(".gguf");
}

}  // namespace

std::unique_ptr<ModelFiles> ModelFiles::open(const std::string& path, Parts parts) {
  if (is_in_memory(path)) return std::make_unique<RandomModel>(path, parts);
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw Error(
        ExitCode::no_input,
        path + ": does not exist" + (error ? " or cannot be read: " + error.message() : "") +
            kWhatAModelIs +
            (looks_like_hub_name(path) ? " (nothing is fetched by its name: download it first)"
                                       : ""));
  }
  if (fs::is_directory(status)) {
    const std::string gguf =
        fs::exists(fs::path(path) / "config.json") ? "" : gguf_of_directory(path);
    if (!gguf.empty()) return std::make_unique<GgufModel>(gguf);
    return std::make_unique<HfModel>(path, parts);
  }
  if (path.ends_with(".safetensors"))
    throw Error(ExitCode::usage, path + ": is a part of a model" + kWhatAModelIs);
  return std::make_unique<GgufModel>(path);
}

}  // namespace tovamill
