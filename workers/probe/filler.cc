#include "workers/probe/filler.h"

#include <array>

namespace tovamill {
namespace {

constexpr std::size_t kSentencesOfParagraph = 7;
constexpr std::string_view kSpace = " \t\r\n\f\v";

constexpr std::array kWho{
    "the baker",          "an old ferryman",    "the schoolteacher",   "a young sailor",
    "the gardener",       "our neighbour",      "a travelling singer", "the clockmaker",
    "the miller",         "a quiet student",    "the postman",         "the carpenter",
    "a tired shepherd",   "the innkeeper",      "the widow upstairs",  "a boy from the mill",
    "the night watchman", "a painter of signs", "the stonemason",      "the bell ringer",
    "a cheerful cook",    "the village doctor", "a girl with a kite",  "the lighthouse keeper"};
constexpr std::array kDid{"carried a basket of apples",
                          "mended the broken fence",
                          "told a long story about the sea",
                          "lit the lamps one by one",
                          "counted the boats",
                          "waited for the slow train",
                          "swept the leaves away",
                          "read a letter twice",
                          "fed the geese",
                          "listened to the wind",
                          "folded the clean sheets",
                          "painted the door green",
                          "looked for a lost glove",
                          "sharpened the old knives",
                          "hummed a tune without an end",
                          "drank a cup of cold tea",
                          "watched the clouds go by",
                          "sold the last of the bread",
                          "planted a row of beans",
                          "spoke of nothing but the weather",
                          "washed the dusty windows",
                          "slept for an hour",
                          "wrote a name into the snow",
                          "shared a pear with the dog",
                          "stacked the firewood",
                          "asked for the way",
                          "tuned the piano",
                          "hung the coats to dry"};
constexpr std::array kWhere{
    "beside the river",         "behind the station",      "under the chestnut trees",
    "in the narrow lane",       "on the wooden bridge",    "near the harbour wall",
    "at the edge of the field", "in the back of the shop", "by the kitchen stove",
    "on the church steps",      "in the empty square",     "along the canal",
    "at the top of the hill",   "beneath the open window", "in the orchard",
    "next to the well",         "across the street",       "in front of the inn"};
constexpr std::array kWhen{"early in the morning",      "after the rain had stopped",
                           "before anybody was awake",  "late in the evening",
                           "on the first warm day",     "while the bread was rising",
                           "when the bells had rung",   "as the fog came in",
                           "towards the end of winter", "at noon",
                           "during the long harvest",   "once the market was over",
                           "shortly before dark",       "in the middle of the week"};
constexpr std::array kAnd{"and nobody said a word",
                          "as it had always been done",
                          "though it was hardly worth the trouble",
                          "and then went home",
                          "while the cat looked on",
                          "for there was time enough",
                          "and the day passed slowly",
                          "without any hurry",
                          "and forgot about it soon",
                          "until the tea was cold"};

template <std::size_t N>
std::string_view one_of(const std::array<const char*, N>& phrases, ProbeRandom& random) {
  return phrases[static_cast<std::size_t>(random.below(N))];
}

bool is_space(char c) { return kSpace.find(c) != std::string_view::npos; }

}  // namespace

std::vector<std::string_view> sentences_of(std::string_view text) {
  constexpr std::string_view kEnds = ".!?", kClosing = "\"')]";
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  const auto cut = [&](std::size_t end) {
    const std::string_view sentence = text.substr(begin, end - begin);
    if (sentence.find_first_not_of(kSpace) != std::string_view::npos) sentences.push_back(sentence);
    begin = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const bool ends = kEnds.find(text[at]) != std::string_view::npos;
    std::size_t next = at + 1;
    while (ends && next < text.size() && kClosing.find(text[next]) != std::string_view::npos)
      ++next;
    const bool is_empty_line = text[at] == '\n' && next < text.size() && text[next] == '\n';
    at = next;
    if (!is_empty_line && !(ends && next < text.size() && is_space(text[next]))) continue;
    while (at < text.size() && is_space(text[at])) ++at;
    cut(at);
  }
  cut(text.size());
  return sentences;
}

Filler::Filler(const std::vector<std::string_view>& sentences, ProbeRandom& random)
    : sentences_(sentences), random_(random) {
  if (!sentences_.empty()) at_ = static_cast<std::size_t>(random_.below(sentences_.size()));
}

std::string Filler::own_sentence() {
  std::string text;
  const auto add = [&](std::string_view words) {
    text.append(text.empty() ? "" : " ").append(words);
  };
  const std::uint64_t form = random_.below(4);
  const std::string_view when = one_of(kWhen, random_);
  if (form == 0) add(std::string(when) + ",");
  add(one_of(kWho, random_));
  add(one_of(kDid, random_));
  add(one_of(kWhere, random_));
  if (form == 1) add(when);
  if (form == 2) {
    text += ",";
    add(one_of(kAnd, random_));
  }
  text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text + ".";
}

std::string Filler::next() {
  const bool ends_paragraph = ++n_made_ % kSentencesOfParagraph == 0;
  if (sentences_.empty()) return own_sentence() + (ends_paragraph ? "\n\n" : " ");
  std::string sentence(sentences_[at_]);
  at_ = (at_ + 1) % sentences_.size();
  if (!is_space(sentence.back())) sentence += "\n\n";  // the end of the file
  return sentence;
}

}  // namespace tovamill
