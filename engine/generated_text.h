// The text of a stream's new tokens as it grows, and where a stop string ends it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/token_id.h"
#include "engine/tokenizer.h"

namespace tovamill {

class GeneratedText {
 public:
  // Both outlive the object. A stop string may begin and end inside tokens.
  GeneratedText(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings);

  // Takes the next token. True where the bytes so far hold a stop string: the text then ends before
  // its first occurrence. `may_stop` false: stop strings that are complete by now are text.
  bool push(TokenId id, bool may_stop = true);
  const std::vector<TokenId>& ids() const { return ids_; }
  // Valid UTF-8: a character that is cut off at the end is left out, other bytes that are none
  // become U+FFFD.
  std::string text() const;

 private:
  const Tokenizer& tokenizer_;
  const std::vector<std::string>& stop_strings_;
  std::vector<TokenId> ids_;
  std::string bytes_;
  std::size_t searched_ = 0;  // bytes where no stop string begins, or none counts
};

}  // namespace tovamill
