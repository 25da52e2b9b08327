// The steps have the paper's numbers. A "measure" is the m of the paper: how often a consonant
// follows a vowel. In a list of rules the first whose suffix fits decides, whether or not its
// condition then holds. NLTK's own changes are marked.
#include "engine/metrics/porter_stemmer.h"

#include <initializer_list>
#include <unordered_map>

namespace tovamill {
namespace {

bool is_aeiou(char c) { return std::string_view("aeiou").find(c) != std::string_view::npos; }

// Calls `note(is consonant)` for every letter. A y is one at the start and after a vowel.
template <typename Note>
void classify(std::string_view word, Note note) {
  bool consonant = false;
  for (const char c : word) {
    consonant = c == 'y' ? !consonant : !is_aeiou(c);
    note(consonant);
  }
}

int measure(std::string_view stem) {
  int m = 0;
  bool previous = true;
  classify(stem, [&](bool consonant) {
    m += consonant && !previous;
    previous = consonant;
  });
  return m;
}

bool contains_vowel(std::string_view stem) {
  bool found = false;
  classify(stem, [&](bool consonant) { found |= !consonant; });
  return found;
}

bool ends_in_consonant(std::string_view word) {
  bool last = false;
  classify(word, [&](bool consonant) { last = consonant; });
  return last;
}

// *d of the paper.
bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && ends_in_consonant(word);
}

// *o of the paper: consonant, vowel, consonant other than w, x, y. NLTK: or a word of a vowel and a
// consonant.
bool ends_in_cvc(std::string_view word) {
  const std::size_t n = word.size();
  if (n < 2 || !ends_in_consonant(word) || ends_in_consonant(word.substr(0, n - 1))) return false;
  if (n == 2) return true;
  const char last = word.back();
  return ends_in_consonant(word.substr(0, n - 2)) && last != 'w' && last != 'x' && last != 'y';
}

struct Rule {
  std::string_view suffix, instead;
};

// Applies the first rule that fits, where the stem's measure is above `least`.
void apply(std::string& word, std::initializer_list<Rule> rules, int least) {
  for (const auto& [suffix, instead] : rules) {
    if (!word.ends_with(suffix)) continue;
    const std::size_t n = word.size() - suffix.size();
    if (measure(std::string_view(word).substr(0, n)) > least)
      word.replace(n, suffix.size(), instead);
    return;
  }
}

void step_1a(std::string& word) {
  if (word.ends_with("ies")) {
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));  // NLTK: dies, die
  } else if (word.ends_with("sses")) {
    word.resize(word.size() - 2);
  } else if (word.ends_with('s') && !word.ends_with("ss")) {
    word.pop_back();
  }
}

// What follows the removal of -ed or -ing.
void mend(std::string& stem) {
  if (stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz")) {
    stem += 'e';
  } else if (ends_in_double_consonant(stem)) {
    const char last = stem.back();
    if (last != 'l' && last != 's' && last != 'z') stem.pop_back();
  } else if (measure(stem) == 1 && ends_in_cvc(stem)) {
    stem += 'e';
  }
}

void step_1b(std::string& word) {
  if (word.ends_with("ied")) {
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));  // NLTK: died, die
    return;
  }
  if (word.ends_with("eed")) {
    if (measure(std::string_view(word).substr(0, word.size() - 3)) > 0) word.pop_back();
    return;
  }
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (!word.ends_with(suffix)) continue;
    const auto stem = std::string_view(word).substr(0, word.size() - suffix.size());
    if (!contains_vowel(stem)) continue;
    word.resize(stem.size());
    return mend(word);
  }
}

// NLTK: after a consonant that is not the first letter, instead of after any vowel.
void step_1c(std::string& word) {
  if (!word.ends_with('y')) return;
  const auto stem = std::string_view(word).substr(0, word.size() - 1);
  if (stem.size() > 1 && ends_in_consonant(stem)) word.back() = 'i';
}

void step_2(std::string& word) {
  // NLTK: -alli first, then all of step 2 again.
  while (word.ends_with("alli") && measure(std::string_view(word).substr(0, word.size() - 4)) > 0)
    word.resize(word.size() - 2);
  constexpr std::string_view kLogi = "logi";
  apply(word, {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
               {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
               {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
               {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
               {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
               {"fulli", "ful"}},
        0);
  // NLTK: the l counts as part of the stem, for geo-, theo-.
  if (word.ends_with(kLogi) && measure(std::string_view(word).substr(0, word.size() - 3)) > 0)
    word.pop_back();
}

void step_3(std::string& word) {
  apply(word,
        {{"icate", "ic"},
         {"ative", ""},
         {"alize", "al"},
         {"iciti", "ic"},
         {"ical", "ic"},
         {"ful", ""},
         {"ness", ""}},
        0);
}

void step_4(std::string& word) {
  if (word.ends_with("ion")) {
    const auto stem = std::string_view(word).substr(0, word.size() - 3);
    if (measure(stem) > 1 && (stem.back() == 's' || stem.back() == 't')) word.resize(stem.size());
    return;
  }
  apply(word,
        {{"al", ""},
         {"ance", ""},
         {"ence", ""},
         {"er", ""},
         {"ic", ""},
         {"able", ""},
         {"ible", ""},
         {"ant", ""},
         {"ement", ""},
         {"ment", ""},
         {"ent", ""},
         {"ou", ""},
         {"ism", ""},
         {"ate", ""},
         {"iti", ""},
         {"ous", ""},
         {"ive", ""},
         {"ize", ""}},
        1);
}

void step_5(std::string& word) {
  if (word.ends_with('e')) {
    const auto stem = std::string_view(word).substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_cvc(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1)
    word.pop_back();
}

const std::unordered_map<std::string_view, std::string_view>& irregular_forms() {
  static const std::unordered_map<std::string_view, std::string_view> forms{
      {"sky", "sky"},         {"skies", "sky"},        {"dying", "die"},
      {"lying", "lie"},       {"tying", "tie"},        {"news", "news"},
      {"innings", "inning"},  {"inning", "inning"},    {"outings", "outing"},
      {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},       {"proceed", "proceed"},  {"exceed", "exceed"},
      {"succeed", "succeed"},
  };
  return forms;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  if (const auto it = irregular_forms().find(word); it != irregular_forms().end())
    return std::string(it->second);
  std::string stem(word);
  if (stem.size() <= 2) return stem;
  step_1a(stem);
  step_1b(stem);
  step_1c(stem);
  step_2(stem);
  step_3(stem);
  step_4(stem);
  step_5(stem);
  return stem;
}

}  // namespace tovamill
