// The text of a stream's new tokens as it grows, and where a stop string ends it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/token_id.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {

// `bytes` as UTF-8: a character that is cut off at the end is left out; other bytes that are none
// become U+FFFD, one for each maximal subpart (Unicode, section 3.9; Python's errors="replace").
std::string repaired_utf8(std::string_view bytes);

// The control tokens of answers in the format of gpt-oss, harmony: messages
// <|start|>assistant<|channel|>NAME<|message|>TEXT<|end|>, the first without its <|start|>, which
// the prompt has.
struct AnswerChannels {
  TokenId start = kNoToken, channel = kNoToken, message = kNoToken, end = kNoToken;

  // Whether `prompt` ends with the head of a message.
  bool continue_prompt(const std::vector<TokenId>& prompt) const;
};

class GeneratedText {
 public:
  // All outlive the object. A stop string may begin and end inside tokens; an empty one never
  // stops. With `channels` the text is that of the channel `final` alone, and of messages without
  // a channel.
  GeneratedText(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings,
                const AnswerChannels* channels = nullptr);

  // Takes the next token. True where the bytes so far hold a stop string: the text then ends before
  // its first occurrence, of all stop strings the one that begins first, and stays so whatever
  // comes. `may_stop` false: stop strings that are complete by now are text.
  // Time: that of decoding the token and of a search in its bytes.
  bool push(TokenId id, bool may_stop = true);
  const std::vector<TokenId>& ids() const { return ids_; }
  // repaired_utf8 of the tokenizer's decode of all ids that are text (without control tokens), up
  // to the stop string.
  std::string text() const;

 private:
  enum class Place : std::uint8_t { head, channel, message };
  std::string bytes_of_next(TokenId id);
  bool is_text(TokenId id);  // where there are channels; takes note of them

  const Tokenizer& tokenizer_;
  const std::vector<std::string>& stop_strings_;
  const AnswerChannels* channels_;
  Place place_ = Place::head;
  std::string channel_;  // its name
  std::vector<TokenId> ids_;
  // The first tokens, to the first that gave text, control tokens left out; one more id is there
  // during a call only. Decoders treat the beginning of a text in their own way; what follows a
  // beginning decodes to the same bytes wherever it stands.
  std::vector<TokenId> beginning_;
  std::size_t beginning_bytes_ = 0;  // of its text
  std::string bytes_;
  std::optional<std::size_t> end_;  // where a stop string begins
};

}  // namespace tovamill
