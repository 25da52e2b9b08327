// Tokens that are looked for in the text before it is cut and merged, as Hugging Face's added
// tokens are.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/token_id.h"

namespace tovamill {

struct AddedToken {
  TokenId id = kNoToken;
  std::string content;
  bool special = false;      // what the file says; see is_control
  bool single_word = false;  // only where no character of a word stands beside it
  bool lstrip = false;       // takes the spaces before it along
  bool rstrip = false;       // takes the spaces after it along
  bool normalized = false;   // looked for in the normalised text

  // Whether a document must not be able to hold it: special, or of the shape <...>, whatever the
  // file says.
  bool is_control() const {
    return special || (content.starts_with('<') && content.ends_with('>'));
  }
};

// Finds tokens in a text: leftmost first, the longest of those.
class AddedTokenMatcher {
 public:
  // A stretch of the text: a token, or text in between (id kNoToken).
  struct Fragment {
    std::size_t begin, end;
    TokenId id;
  };

  void add(const AddedToken& token);
  bool empty() const { return tokens_.empty(); }
  // The fragments cover `text`; none is empty.
  std::vector<Fragment> split(std::string_view text) const;

 private:
  const AddedToken* match(std::string_view text, std::size_t at) const;

  std::unordered_map<std::string, AddedToken> tokens_;  // by content
  std::array<std::vector<std::size_t>, 256>
      lengths_;  // of the contents with that first byte, longest first
};

}  // namespace tovamill
