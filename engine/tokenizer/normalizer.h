// What tokenizer.json does to a text before it is cut: normalisation forms, the ▁ and the character
// maps of SentencePiece.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/charsmap.h"
#include "engine/text/unicode_text.h"
#include "engine/tokenizer/regex.h"

namespace tovamill {

using NormalizerStep = std::function<std::string(std::string_view)>;

NormalizerStep form_step(NormalForm form);
NormalizerStep lower_case_step();
NormalizerStep charsmap_step(Charsmap map);
// Without marks, of text that is decomposed.
NormalizerStep strip_accents_step();
// Without white space at the ends.
NormalizerStep strip_step(bool left, bool right);
// `tokenizers`' Nmt: control characters are left out, other kinds of white space become spaces.
NormalizerStep nmt_step();
// `prefix` before a text that is not empty.
NormalizerStep prepend_step(std::string prefix);
// Every match of `pattern` becomes `content`.
NormalizerStep replace_step(Regex pattern, std::string content);
// Every `character` becomes `content`: the fast case of the above.
NormalizerStep replace_character_step(char character, std::string content);

class Normalizer {
 public:
  void add(NormalizerStep step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }

  std::string operator()(std::string_view text) const {
    std::string out(text);
    for (const auto& step : steps_) out = step(out);
    return out;
  }

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace tovamill
