// Regular expressions of tokenizer files, by Oniguruma, which Hugging Face `tokenizers` uses too
// (regex.cc is the only file that includes it). What an expression may hold: regex_syntax.h.
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

  // Compiles `pattern`. `literal`: the pattern is plain text, and not empty. Throws BadData.
  Regex(const std::string& pattern, bool literal, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  // The matches of a text one after the other, an empty one directly behind another left out. One
  // Search per thread.
  class Search {
   public:
    explicit Search(const Regex& regex);
    ~Search();
    // Calls `found` for each match in `text` (valid UTF-8), from left to right. Throws
    // UnencodableText where a match takes more steps back than `tokenizers` allows one (10
    // million), all of them together more than kStepsPerByte for each byte, or one more than 16
    // million alternatives to remember (1 GB), and where all of them pass more than kPassesPerByte
    // characters for each byte.
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
