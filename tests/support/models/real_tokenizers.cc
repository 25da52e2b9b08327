#include "tests/support/models/real_tokenizers.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace tovamill::testing {

namespace fs = std::filesystem;

namespace {

nlohmann::json read_json(const fs::path& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return nlohmann::json::parse(in);
}

fs::path given_or(const char* name, const fs::path& otherwise) {
  const char* given = std::getenv(name);
  return given ? fs::path(given) : otherwise;
}

}  // namespace

nlohmann::json golden_json(const std::string& name) {
  return read_json(fs::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens" / name);
}

fs::path shared_data() {
  return given_or("TOVAMILL_SHARED_DATA",
                  fs::path(TOVAMILL_SOURCE_DIR).parent_path() / "shared/data");
}

std::unique_ptr<Tokenizer> shared_tokenizer(const std::string& name) {
  const fs::path folder = shared_data() / "tokenizers" / name;
  const fs::path packed = folder / "tokenizer.json.xz";
  if (!fs::exists(packed)) return nullptr;
  const fs::path plain =
      fs::temp_directory_path() / ("tovamill-" + name + "-" + std::to_string(getpid()) + ".json");
  const std::string unpack = "xz -dc '" + packed.string() + "' > '" + plain.string() + "'";
  const bool unpacked = std::system(unpack.c_str()) == 0;
  const nlohmann::json tokenizer = unpacked ? read_json(plain) : nlohmann::json();
  fs::remove(plain);
  if (!unpacked) return nullptr;
  return Tokenizer::from_hf(tokenizer, read_json(folder / "tokenizer_config.json"), name);
}

fs::path smollm2_path() {
  return given_or("TOVAMILL_SMOLLM2", fs::path(TOVAMILL_SOURCE_DIR) /
                                          "build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf");
}

}  // namespace tovamill::testing
