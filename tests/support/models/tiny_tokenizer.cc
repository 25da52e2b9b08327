#include <stdexcept>

#include "tests/support/models/model_builder.h"

namespace tovamill::testing {

namespace {

std::string utf8(std::uint32_t code) {  // below 0x800
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

// GPT-2's letters for the 256 bytes: printable bytes stand for themselves, the others are numbered
// from 256 on.
std::vector<std::string> byte_letters() {
  std::vector<std::string> letters;
  std::uint32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    letters.push_back(utf8(printable ? byte : next++));
  }
  return letters;
}

// "Ġ" is the space.
constexpr const char* kMerges[] = {"Ġ t", "h e",  "Ġ a",   "i n", "r e",  "o n", "Ġt he", "e r",
                                   "Ġ s", "a t",  "Ġ w",   "Ġ o", "e n",  "Ġ c", "i t",   "i s",
                                   "a n", "o r",  "e s",   "Ġ b", "e d",  "Ġ f", "in g",  "Ġ p",
                                   "o u", "Ġa n", "a l",   "a r", "Ġt o", "Ġ m", "Ġo f",  "Ġ in",
                                   "Ġ d", "Ġ h",  "Ġan d", "i c", "a s",  "l e", "Ġt h",  "o m"};

}  // namespace

TinyTokenizer tiny_tokenizer(std::int32_t vocab_size) {
  TinyTokenizer tokenizer;
  tokenizer.tokens = byte_letters();
  for (const std::string merge : kMerges) {
    const std::size_t space = merge.find(' ');
    tokenizer.merges.push_back(merge);
    tokenizer.tokens.push_back(merge.substr(0, space) + merge.substr(space + 1));
  }
  const auto used = static_cast<std::int32_t>(tokenizer.tokens.size());
  if (vocab_size <= used) throw std::logic_error("a tiny tokenizer needs more tokens");
  for (std::int32_t id = used; id + 1 < vocab_size; ++id) {
    tokenizer.tokens.push_back("<unused" + std::to_string(id) + ">");
  }
  tokenizer.tokens.push_back("<|endoftext|>");
  tokenizer.end_of_text = vocab_size - 1;
  return tokenizer;
}

nlohmann::json tiny_tokenizer_json(std::int32_t vocab_size) {
  const TinyTokenizer tokenizer = tiny_tokenizer(vocab_size);
  nlohmann::json vocab = nlohmann::json::object();
  for (std::size_t id = 0; id < tokenizer.tokens.size(); ++id) vocab[tokenizer.tokens[id]] = id;
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens",
           {{{"id", tokenizer.end_of_text},
             {"content", "<|endoftext|>"},
             {"single_word", false},
             {"lstrip", false},
             {"rstrip", false},
             {"normalized", false},
             {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", tokenizer.merges}}}};
}

}  // namespace tovamill::testing
