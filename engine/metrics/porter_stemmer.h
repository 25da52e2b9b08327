// The Porter stemmer (Porter 1980) as NLTK's PorterStemmer in its mode NLTK_EXTENSIONS.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// The stem of a word of ASCII lower-case letters and digits (which count as consonants). O(n).
std::string porter_stem(std::string_view word);

}  // namespace tovamill
