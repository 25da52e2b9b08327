// make_tiny_run DIR [DOCUMENTS] [SEED] [LONG] [WORDS]: a model with random weights (DIR/model) and
// a corpus of about so many documents of very different lengths in files of every kind
// (DIR/corpus), for the scripts that start the built program many times; with so many long
// documents of so many words beside them (0 of 4000), for those that stop a run in the middle of
// one.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>

#include "tests/support/compress.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"

namespace {

using namespace tovamill::testing;

std::string record(std::size_t n_words, std::uint64_t seed, bool with_id) {
  nlohmann::json line{{"text", words(n_words, seed)}};
  if (with_id) line["id"] = "id-" + std::to_string(seed);
  return line.dump();
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// Lines with blank ones between them, broken ones and records without an id.
std::string lines(int n, std::mt19937_64& random) {
  std::string text;
  for (int i = 0; i < n; ++i) {
    if (random() % 10 == 0) text += "\n";
    if (random() % 15 == 0) text += "{broken\n";
    const std::size_t n_words = 5 + random() % (random() % 8 == 0 ? 1500 : 150);
    text += record(n_words, random() % 100000, random() % 2 == 0) +
            (random() % 20 == 0 ? "\r\n" : "\n");
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: make_tiny_run DIR [DOCUMENTS] [SEED] [LONG] [WORDS]\n";
    return 64;
  }
  const std::filesystem::path directory = argv[1];
  const int n = argc > 2 ? std::atoi(argv[2]) : 100;
  std::mt19937_64 random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
  const int n_long = argc > 4 ? std::atoi(argv[4]) : 0;
  const std::size_t long_words = argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 4000;
  TinyModel model;
  model.n_layers = 4;
  model.hidden_size = 128;
  model.intermediate_size = 384;
  model.n_heads = 8;
  model.n_kv_heads = 4;
  model.vocab_size = 1024;
  write_hf_model(model, directory / "model");
  const std::filesystem::path corpus = directory / "corpus";
  std::filesystem::create_directories(corpus);
  write_file(corpus / "lines.jsonl", lines(n / 2, random));
  write_file(corpus / "packed.jsonl.gz", gzip(lines(n / 6, random)));
  for (int i = 0; i < n / 3; ++i) {
    const std::size_t n_words = 20 + random() % (i % 6 == 0 ? 4000 : 300);
    write_file(corpus / ("text-" + std::to_string(i) + ".txt"), words(n_words, random()));
  }
  for (int i = 0; i < n_long; ++i)
    write_file(corpus / ("long-" + std::to_string(i) + ".txt"), words(long_words, random()));
  return 0;
}
