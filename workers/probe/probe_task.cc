#include "workers/probe/probe_task.h"

#include <algorithm>
#include <array>

namespace tovamill {
namespace {

constexpr std::array kColours{"amber",  "azure",  "crimson", "emerald", "golden", "indigo",
                              "pearly", "purple", "rosy",    "scarlet", "snowy",  "violet"};
constexpr std::array kAnimals{"badger", "beaver", "camel",  "falcon",  "giraffe", "heron",
                              "hyena",  "jaguar", "lynx",   "ostrich", "panther", "pelican",
                              "puffin", "raven",  "walrus", "weasel"};
constexpr std::uint64_t kPasskeys = 90'000, kFirstPasskey = 10'000;      // 5 digits
constexpr std::uint64_t kNumbers = 9'000'000, kFirstNumber = 1'000'000;  // 7 digits
constexpr std::uint64_t kLetters = 26;
constexpr std::size_t kNameLetters = 5;
// How often a common word stands in a list of n words: for so many words once, but ten times as
// often as another at most.
constexpr std::size_t kWordsPerCommon = 13, kMostTimesOften = 10;

// Another one than those that are there.
template <class Make>
std::string another(std::vector<std::string>& taken, Make&& make) {
  std::string text = make();
  while (std::find(taken.begin(), taken.end(), text) != taken.end()) text = make();
  taken.push_back(text);
  return text;
}

std::string number_of(std::uint64_t first, std::uint64_t n, ProbeRandom& random) {
  return std::to_string(first + random.below(n));
}

ProbeQuestion passkey_question(double depth, ProbeRandom& random) {
  const std::string key = number_of(kFirstPasskey, kPasskeys, random);
  return {
      .hidden = {{"The pass key is " + key + ". Remember it: " + key + " is the pass key.", depth}},
      .question = "What is the pass key?",
      .keys = {key}};
}

ProbeQuestion needle_question(double depth, std::int32_t n, ProbeRandom& random) {
  constexpr std::uint64_t kFine = 10'000;  // places of the others
  ProbeQuestion q;
  std::vector<std::string> names, numbers;
  for (std::int32_t i = 0; i < n; ++i) {
    const std::string name = another(names, [&] {
      const auto colour = static_cast<std::size_t>(random.below(kColours.size()));
      const auto animal = static_cast<std::size_t>(random.below(kAnimals.size()));
      return std::string(kColours[colour]) + " " + kAnimals[animal];
    });
    const std::string number =
        another(numbers, [&] { return number_of(kFirstNumber, kNumbers, random); });
    const double place = static_cast<double>(random.below(kFine + 1)) / static_cast<double>(kFine);
    q.hidden.push_back({"The locker of the " + name + " opens with the number " + number + ".",
                        i == 0 ? depth : place});
  }
  q.question = "Which number opens the locker of the " + names.front() + "?";
  q.keys = {numbers.front()};
  return q;
}

ProbeQuestion variable_question(double depth, std::int32_t n_hops, ProbeRandom& random) {
  ProbeQuestion q;
  const std::string value = number_of(kFirstPasskey, kPasskeys, random);
  for (std::int32_t i = 0; i <= n_hops; ++i) {
    const std::string before = i == 0 ? value : q.keys.back();
    const std::string name = another(q.keys, [&] {
      std::string letters;
      while (letters.size() < kNameLetters)
        letters += static_cast<char>('A' + static_cast<char>(random.below(kLetters)));
      return letters;
    });
    q.hidden.push_back({i == 0 ? "The variable " + name + " has the value " + before + "."
                               : "The variable " + name + " has the value of " + before + ".",
                        depth + (1.0 - depth) * i / (n_hops + 1)});
  }
  q.question = "Which variables have the value " + value + "? Name all " +
               std::to_string(n_hops + 1) + " of them.";
  return q;
}

}  // namespace

ProbeQuestion make_probe_question(ProbeTask task, double depth, const ProbeSizes& sizes,
                                  ProbeRandom& random) {
  switch (task) {
    case ProbeTask::passkey:
      return passkey_question(depth, random);
    case ProbeTask::needles:
      return needle_question(depth, sizes.needles, random);
    case ProbeTask::variables:
      return variable_question(depth, sizes.hops, random);
    case ProbeTask::words:
      break;
  }
  return {};
}

WordLists::WordLists(ProbeRandom& random) : words_(probe_words()) {
  random.shuffle(words_);
  order_ = random.next();
}

// The others stand there `each` times, the least that the words suffice for; the last of them may
// be there fewer times.
std::string WordLists::list(std::size_t n) const {
  std::size_t each = 0, common = 0;
  const std::size_t n_others = words_.size() - kCommonWords;
  do {
    ++each;
    common = std::clamp(n / kWordsPerCommon, each + 2, kMostTimesOften * each);
  } while (n - std::min(n, kCommonWords * common) > each * n_others);
  std::vector<std::size_t> indices;
  for (std::size_t w = 0; w < kCommonWords; ++w) indices.insert(indices.end(), common, w);
  for (std::size_t w = kCommonWords; indices.size() < n; ++w)
    indices.insert(indices.end(), std::min(each, n - indices.size()), w);
  ProbeRandom random{order_, n};
  random.shuffle(indices);
  std::string text;
  for (const std::size_t w : indices) text.append(text.empty() ? "" : " ").append(words_[w]);
  return text;
}

ProbeQuestion WordLists::question() const {
  return {.hidden = {},
          .question = "The text is a list of words. Which " + std::to_string(kCommonWords) +
                      " words stand in it most often?",
          .keys = {words_.begin(), words_.begin() + kCommonWords}};
}

const std::vector<std::string>& probe_words() {
  static const std::vector<std::string> words{
      "anchor",  "apron",   "arrow",   "autumn",  "bacon",   "barley",  "basket",  "beacon",
      "bench",   "blanket", "bottle",  "branch",  "bronze",  "bucket",  "butter",  "cabin",
      "candle",  "canvas",  "carpet",  "castle",  "cedar",   "cellar",  "chalk",   "cherry",
      "chimney", "cider",   "circle",  "clover",  "coffee",  "copper",  "coral",   "cotton",
      "cradle",  "crayon",  "cricket", "curtain", "daisy",   "desert",  "diamond", "dragon",
      "drawer",  "eagle",   "engine",  "fabric",  "feather", "fiddle",  "flute",   "forest",
      "garlic",  "ginger",  "granite", "guitar",  "hammer",  "harvest", "hazel",   "helmet",
      "honey",   "horizon", "insect",  "island",  "ivory",   "jacket",  "jasmine", "jelly",
      "jungle",  "kettle",  "ladder",  "lantern", "laurel",  "leather", "lemon",   "linen",
      "lizard",  "locket",  "magnet",  "maple",   "marble",  "meadow",  "medal",   "melon",
      "mirror",  "mitten",  "monkey",  "mustard", "napkin",  "needle",  "nickel",  "nutmeg",
      "olive",   "onion",   "otter",   "oyster",  "paddle",  "palace",  "parrot",  "pebble",
      "pencil",  "pepper",  "pigeon",  "pillow",  "planet",  "pocket",  "poplar",  "powder",
      "prairie", "pumpkin", "puzzle",  "quarry",  "quilt",   "rabbit",  "raisin",  "ribbon",
      "rocket",  "saddle",  "salad",   "salmon",  "sandal",  "satin",   "scarf",   "shadow",
      "shelter", "silver",  "sleeve",  "spider",  "spoon",   "statue",  "sugar",   "teapot",
      "temple",  "thimble", "timber",  "tomato",  "trumpet", "tulip",   "tunnel",  "turtle",
      "velvet",  "violin",  "wagon",   "walnut",  "willow",  "wizard",  "yogurt",  "zebra"};
  return words;
}

}  // namespace tovamill
