// Tokens per second of a tokenizer on a text, on one core:
//   tokenizer_benchmark TOKENIZER_JSON TEXT_FILE
// The text is encoded whole, as a document is. Warm-up first; the best and the median of ten runs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace {

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_benchmark TOKENIZER_JSON TEXT_FILE\n");
    return 64;
  }
  try {
    const auto tokenizer =
        tovamill::Tokenizer::from_hf(nlohmann::json::parse(read_file(argv[1])), nullptr, argv[1]);
    const std::string text = read_file(argv[2]);
    std::vector<tovamill::TokenId> ids;
    std::vector<double> seconds;
    for (int run = 0; run < 11; ++run) {
      ids.clear();
      const auto start = std::chrono::steady_clock::now();
      tokenizer->encode(text, false, ids);
      if (run > 0)
        seconds.push_back(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(seconds);
    const auto rate = [&](double s) { return static_cast<double>(ids.size()) / s / 1e6; };
    std::printf("%s: %zu bytes, %zu tokens\n", tokenizer->description().c_str(), text.size(),
                ids.size());
    std::printf(
        "| best Mtokens/s | median Mtokens/s | median MB/s |\n|---|---|---|\n| %.2f | %.2f | %.1f "
        "|\n",
        rate(seconds.front()), rate(seconds[5]),
        static_cast<double>(text.size()) / seconds[5] / 1e6);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 65;
  }
  return 0;
}
