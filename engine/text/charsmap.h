// SentencePiece's precompiled map of characters, which its normalisations (nmt_nfkc and others)
// are: a u32 with the bytes of a double array (darts-clone's: Yata et al. 2007), its u32 units, and
// the replacements, each ended by a zero byte. Little-endian.
//
// Applied as Hugging Face `tokenizers` does it: a grapheme cluster of fewer than 6 bytes of which
// an entry is a prefix becomes the replacement of the shortest such entry; else each of its
// characters by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

class Charsmap {
 public:
  // `bytes` as above. Throws BadData, naming `where`, if they are cut short or not UTF-8 where they
  // are text.
  Charsmap(std::string_view bytes, const std::string& where);

  // The text (valid UTF-8) with its replacements. Throws BadData where the array leads out of
  // itself.
  std::string operator()(std::string_view text) const;

 private:
  // The replacement of the shortest entry that `text` begins with.
  std::optional<std::string_view> find(std::string_view text) const;
  std::uint32_t unit(std::uint32_t at) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::string where_;
};

// The bytes that base64 (RFC 4648, with padding) spells; nullopt if it does not.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace tovamill
