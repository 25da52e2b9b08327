// The text around what a probe hides, sentence by sentence without end: made of our own phrases, or
// a user's text from a random sentence on, over and over.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "workers/probe/probe_random.h"

namespace tovamill {

// A text cut behind the ends of its sentences (. ! ?, closing quotes and brackets, then white
// space) and at empty lines; each with the white space behind it. Those without a word are left
// out.
std::vector<std::string_view> sentences_of(std::string_view text);

class Filler {
 public:
  // `sentences` of the user's text, which outlive the object; none: our own.
  Filler(const std::vector<std::string_view>& sentences, ProbeRandom& random);
  // With the white space behind it. Our own have no digit and no capitals but at their start.
  std::string next();

 private:
  std::string own_sentence();

  const std::vector<std::string_view>& sentences_;
  ProbeRandom& random_;
  std::size_t at_ = 0;
  std::size_t n_made_ = 0;
};

}  // namespace tovamill
