// Words of texts, counted as Python does.
#include <gtest/gtest.h>

#include "io/corpus/corpus.h"

namespace tovamill {
namespace {

TEST(Words, AreCountedAsPythonDoes) {
  // len(s.split()) of Python 3.11.
  struct Case {
    const char* text;
    std::uint64_t n;
  };
  for (const Case& c : std::vector<Case>{{"", 0},
                                         {" \t\n\v\f\r", 0},
                                         {"a", 1},
                                         {" a  b\n", 2},
                                         {"a\x1c"
                                          "b\x1d"
                                          "c\x1e"
                                          "d\x1f"
                                          "e",
                                          5},
                                         {"a\x1b"
                                          "b",
                                          1},
                                         {"a\xc2\x85"
                                          "b\xc2\xa0"
                                          "c",
                                          3},
                                         {"a\xe1\x9a\x80"
                                          "b",
                                          2},
                                         {"a\xe1\xa0\x8e"
                                          "b",
                                          1},  // U+180E is no white space
                                         {"a\xe2\x80\x80"
                                          "b\xe2\x80\x8a"
                                          "c",
                                          3},
                                         {"a\xe2\x80\x8b"
                                          "b",
                                          1},  // nor is U+200B
                                         {"a\xe2\x80\xa8"
                                          "b\xe2\x80\xa9"
                                          "c\xe2\x80\xaf"
                                          "d",
                                          4},
                                         {"a\xe2\x81\x9f"
                                          "b\xe3\x80\x80"
                                          "c",
                                          3},
                                         {"a\xef\xbb\xbf"
                                          "b",
                                          1},  // nor U+FEFF
                                         {"\xf0\x9f\x98\x80 \xf0\x9f\x98\x80", 2}}) {
    EXPECT_EQ(count_words(c.text), c.n) << c.text;
  }
  EXPECT_EQ(count_words(std::string_view("a\0b", 3)), 1u);
  EXPECT_EQ(count_words("a\xe2"), 1u);  // never reads beyond the end
}

}  // namespace
}  // namespace tovamill
