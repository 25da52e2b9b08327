// Cuts a text into the pieces that BPE encodes one by one. A pre-tokenizer is a sequence of steps.
// Each cuts the pieces of the step before further and may change them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/word_pattern.h"

namespace tovamill {

// Consecutive pieces of a text.
struct Pieces {
  std::string text;
  std::vector<std::size_t>
      ends;  // of each piece, in bytes of `text`, ascending; the last is text.size(); none is empty
  bool at_start = true;  // the first piece begins where the document begins
};

using PreTokenizerStep = std::function<void(Pieces&)>;

// The behaviour of a Split, as in Hugging Face `tokenizers`.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

enum class PrependScheme { always, first, never };

PreTokenizerStep word_step(WordPattern pattern);
// `invert`: what lies between the matches counts as matched.
PreTokenizerStep split_step(Regex pattern, SplitBehavior behavior, bool invert);
// Numeric characters apart from others; `individual`: each one alone.
PreTokenizerStep digits_step(bool individual);
// The same with each number (\p{N}) of `classes` alone.
PreTokenizerStep numbers_step(const UnicodeClasses& classes);
// Numbers in groups of three from the end of each run of them; what stands before a run goes with
// its first group (llama.cpp).
PreTokenizerStep digit_groups_step(const UnicodeClasses& classes);
// A space before each piece that does not begin with one.
PreTokenizerStep prefix_space_step();
// Spaces become `replacement`, which is put before a piece by `scheme`; `split`: each one begins a
// piece.
PreTokenizerStep metaspace_step(std::string replacement, PrependScheme scheme, bool split);

class PreTokenizer {
 public:
  void add(PreTokenizerStep step) { steps_.push_back(std::move(step)); }

  Pieces operator()(std::string text, bool at_start) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace tovamill
