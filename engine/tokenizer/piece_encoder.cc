#include "engine/tokenizer/piece_encoder.h"

namespace tovamill {

std::vector<TokenId> Vocabulary::byte_tokens() const {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::vector<TokenId> out(256);
  for (std::size_t byte = 0; byte < out.size(); ++byte) {
    out[byte] = find({'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'});
  }
  return out;
}

}  // namespace tovamill
