// What a document of a probe hides, what is asked, and the keys of a right answer. The kinds are
// those of RULER (Hsieh et al. 2024, arXiv:2404.06654), which follow Mohtashami and Jaggi 2023
// (passkey) and Kamradt's needle in a haystack; the texts are our own.
//
//   passkey    one sentence with a number of 5 digits, between filler
//   needles    so many sentences of one form, each with a name and a number of 7 digits; the one of
//              one name is asked for, and the others stand at random places
//   variables  a chain: a variable has a value of 5 digits, the next one is equal to it, ...; all
//              their names are asked for. The first stands at the depth, the others in order behind
//              it, evenly over what is left
//   words      a list of words, five of which stand there ten times as often as the others (in a
//              short list as often as goes); these are asked for. No filler, no depth
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/probe/probe_key.h"
#include "workers/probe/probe_random.h"

namespace tovamill {

// A sentence between those of the filler.
struct HiddenSentence {
  std::string text;
  double depth = 0.0;  // share of the filler's sentences before it
};

struct ProbeQuestion {
  std::vector<HiddenSentence> hidden;  // in the order in which those of one place stand
  std::string question;
  std::vector<std::string> keys;
};

struct ProbeSizes {
  std::int32_t needles = 4;  // sentences of `needles`
  std::int32_t hops = 4;     // variables of `variables` behind the first
};

// Of every task but words. `depth` is that of what is sought.
ProbeQuestion make_probe_question(ProbeTask task, double depth, const ProbeSizes& sizes,
                                  ProbeRandom& random);

inline constexpr std::size_t kCommonWords = 5;
inline constexpr std::size_t kFewestListedWords = 20;

// The lists of `words`, of any length, with one choice of words.
class WordLists {
 public:
  explicit WordLists(ProbeRandom& random);
  // `n` words (kFewestListedWords at least), a blank between two of them.
  std::string list(std::size_t n) const;
  ProbeQuestion question() const;

 private:
  std::vector<std::string> words_;  // shuffled; the first kCommonWords are the common ones
  std::uint64_t order_;             // seeds the order of a list
};

// Words of which none is a part of another; no filler of ours has them.
const std::vector<std::string>& probe_words();

}  // namespace tovamill
