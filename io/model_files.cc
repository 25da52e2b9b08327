#include "io/model_files.h"

#include <filesystem>
#include <system_error>

#include "io/gguf_model.h"
#include "io/hf_model.h"
#include "io/random_model.h"
#include "kernels/error.h"

namespace tovamill {

bool ModelFiles::is_in_memory(const std::string& path) {
  return path.starts_with(kRandomModelPrefix);
}

std::unique_ptr<ModelFiles> ModelFiles::open(const std::string& path, Parts parts) {
  if (is_in_memory(path)) return std::make_unique<RandomModel>(path, parts);
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw Error(ExitCode::no_input, path + ": does not exist" +
                                        (error ? " or cannot be read: " + error.message() : "") +
                                        ": give a model directory or a .gguf file");
  }
  if (std::filesystem::is_directory(status)) return std::make_unique<HfModel>(path, parts);
  return std::make_unique<GgufModel>(path);
}

}  // namespace tovamill
