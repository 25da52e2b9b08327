// Text to token ids and back, with ids equal to Hugging Face `tokenizers` for the same
// tokenizer.json, and to llama.cpp for the same GGUF metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/token_id.h"
#include "kernels/types/error.h"

namespace tovamill {

// A text that a tokenizer does not take: not UTF-8, or one at which a regular expression of its
// file backtracks too much. It fails its document, not the run.
class UnencodableText : public BadData {
 public:
  using BadData::BadData;
};

struct HfTokenizerFiles;

class Tokenizer {
 public:
  // From tokenizer.json and what stands beside it (auto_tokenizer.h). `where` names the file in
  // messages. Throws BadData naming what is broken or unsupported (a model, normalizer,
  // pre-tokenizer ... by its name).
  static std::unique_ptr<Tokenizer> from_hf(const HfTokenizerFiles& files,
                                            const std::string& where);
  // The same with tokenizer.json and tokenizer_config.json only; the latter may be null.
  static std::unique_ptr<Tokenizer> from_hf(const nlohmann::json& tokenizer,
                                            const nlohmann::json& tokenizer_config,
                                            const std::string& where);
  // From GGUF metadata (tokenizer.ggml.*), a flat object of key -> value.
  static std::unique_ptr<Tokenizer> from_gguf(const nlohmann::json& metadata,
                                              const std::string& where);

  virtual ~Tokenizer() = default;

  // Appends the ids of `text` to `ids`, without BOS or EOS. Time is O(n log n) in the length of the
  // text whatever it holds. Thread-safe. Throws UnencodableText. With `parse_special`, every added
  // token is searched for in the text: the ids are those of Hugging Face's
  // encode(add_special_tokens=False). Without, control tokens in the text are ordinary text: no
  // token that the file calls special (GGUF: control or unknown), and no added token of the form
  // <...>, special or not (Qwen's <think>), comes out of any text; merges that would make one are
  // left out. Added tokens of another form (runs of spaces) are still found.
  virtual void encode(std::string_view text, bool parse_special,
                      std::vector<TokenId>& ids) const = 0;

  // The same without `parse_special` for a text that stands behind a control token, where some
  // tokenizers put no space before it as they do at the start.
  virtual void encode_behind_control(std::string_view text, std::vector<TokenId>& ids) const {
    encode(text, false, ids);
  }

  // The bytes of `ids`; not necessarily valid UTF-8 when cut inside a character. Control tokens
  // give nothing unless `keep_special`.
  virtual std::string decode(const std::vector<TokenId>& ids, bool keep_special) const = 0;

  virtual std::int32_t vocab_size() const = 0;
  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;
  // What the model's own tokenizer puts before and behind a text: the post-processor's tokens;
  // GGUF: BOS and EOS by tokenizer.ggml.add_bos_token and add_eos_token.
  virtual const std::vector<TokenId>& leading() const = 0;
  virtual const std::vector<TokenId>& trailing() const = 0;
  bool adds_bos() const { return !leading().empty(); }
  // The id of a token by its exact content, control tokens included.
  virtual std::optional<TokenId> id_of(std::string_view content) const = 0;
  // A short name for reports: "byte-level BPE, 49152 tokens".
  virtual std::string description() const = 0;
  // SHA-256 or another stable digest of what decides the ids, for the fingerprint, in hexadecimal.
  virtual std::string digest() const = 0;
};

}  // namespace tovamill
