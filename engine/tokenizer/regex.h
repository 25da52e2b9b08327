// Regular expressions of tokenizer files, by PCRE2 (this is the only file that includes it).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace tovamill {

class Regex {
 public:
  struct Span {
    std::size_t begin, end;
  };

  // Compiles `pattern`, as Oniguruma's Ruby syntax where the two differ in what tokenizers use (^
  // and $ at line ends, \s without U+180E). \p{..} follows the Unicode version of the installed
  // PCRE2. `literal`: the pattern is plain text. Throws BadData.
  Regex(const std::string& pattern, bool literal, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  // The matches of a text one after the other, an empty one directly behind another left out. One
  // Search per thread.
  class Search {
   public:
    explicit Search(const Regex& regex);
    ~Search();
    // Calls `found` for each match in `text` (valid UTF-8), from left to right. Throws BadData
    // where the expression needs more steps than kStepsPerByte allows: a file cannot make the
    // program hang.
    void for_each(std::string_view text, const std::function<void(Span)>& found);

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tovamill
