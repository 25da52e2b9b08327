// Tiny random models whose weights are quantised as directories have them
// (tests/support/generators/quantized_models.py): the values of every matrix to the bit as the
// publishers' libraries have them, and per-token NLL against transformers with these values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/quantization/quantized_tensors.h"
#include "io/model/model_files.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/run_document.h"

namespace tovamill::testing {
namespace {

constexpr double kQuantizedTolerance = 1e-3, kQuantizedMeanTolerance = 1e-4;

std::filesystem::path goldens() {
  return std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens";
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(goldens() / "quantized"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// FNV-1a of the bits of all numbers, row by row.
std::string hash_of(const TensorView& matrix) {
  std::uint64_t hash = 0xcbf29ce484222325;
  std::vector<float> row(static_cast<std::size_t>(matrix.n_cols()));
  for (std::int64_t r = 0; r < matrix.n_rows(); ++r) {
    dequantize_row(matrix, r, row.data());
    for (const float value : row) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, 4);
      hash = (hash ^ bits) * 0x100000001b3;
    }
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

class QuantizedGoldens : public ::testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path folder() const { return goldens() / "quantized" / GetParam(); }
};

TEST_P(QuantizedGoldens, EveryValueIsThatOfThePublishersLibrary) {
  const auto files = ModelFiles::open(folder().string(), ModelFiles::Parts::weights_only);
  const Quantization quantization =
      quantization_from_hf(files->config().at("quantization_config"), "config.json");
  const auto hashes = nlohmann::json::parse(bytes_of(folder() / "hashes.json"));
  EXPECT_GE(hashes.size(), 8u);
  for (const auto& [name, hash] : hashes.items()) {
    const auto matrix = find_quantized(
        quantization, [&](const std::string& n) { return files->find_tensor(n); }, name, "model");
    ASSERT_TRUE(matrix.has_value()) << name;
    ASSERT_NE(matrix->reader, nullptr) << name;
    EXPECT_EQ(hash_of(*matrix), hash) << name;
  }
}

TEST_P(QuantizedGoldens, WholeStatesGiveTransformersNll) {
  const std::string bytes = bytes_of(folder() / "nll.bin"),
                    text = bytes_of(goldens() / "families/text.txt");
  std::vector<double> nll(bytes.size() / sizeof(double));
  std::memcpy(nll.data(), bytes.data(), bytes.size());
  ASSERT_EQ(nll.size() + 1, text.size());
  const CacheOptions cache{.policy = Policy::full, .positions = Positions::absolute};
  for (const DeviceKind device : {DeviceKind::reference, DeviceKind::cpu, DeviceKind::cuda}) {
    if (device == DeviceKind::cuda && devices({DeviceKind::cuda}).empty()) break;
    SCOPED_TRACE(static_cast<int>(device));
    const std::string start = text.substr(0, device == DeviceKind::cpu ? text.size() : 32);
    const RunResult actual = run_document(folder().string(), {start.begin(), start.end()},
                                          {.device = device, .block = 37, .cache = cache});
    ASSERT_EQ(actual.nll.size() + 1, start.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < actual.nll.size(); ++i) {
      const double difference = static_cast<double>(actual.nll[i]) - nll[i];
      ASSERT_LE(std::abs(difference), kQuantizedTolerance) << "at token " << i;
      sum += difference;
    }
    EXPECT_LE(std::abs(sum) / static_cast<double>(actual.nll.size()), kQuantizedMeanTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedGoldens, ::testing::ValuesIn(model_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tovamill::testing
