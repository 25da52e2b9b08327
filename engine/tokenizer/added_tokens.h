// Tokens that are searched for in the text before pre-tokenization and merges, as Hugging Face's
// added tokens are.
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
  bool special = false;            // what the file says; see is_control
  bool single_word = false;        // matches only between characters that are no word characters
  bool lstrip = false;             // the match includes the spaces before it
  bool rstrip = false;             // the match includes the spaces after it
  bool strips_ascii_only = false;  // these spaces are those of ASCII
  bool normalized = false;         // searched for in the normalised text

  // Whether no text of a document may give this token: it is special, or has the form <...>,
  // whatever the file says.
  bool is_control() const {
    return special || (content.starts_with('<') && content.ends_with('>'));
  }
};

// Finds tokens in a text: leftmost first, the longest of those.
class AddedTokenMatcher {
 public:
  // A fragment of the text: a token, or text in between (id kNoToken).
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
