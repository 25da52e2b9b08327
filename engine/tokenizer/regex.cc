#include "engine/tokenizer/regex.h"

#include <oniguruma.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>
#include <utility>

#include "engine/text/utf8.h"
#include "engine/tokenizer/regex_class.h"
#include "engine/tokenizer/regex_syntax.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

// Steps back of one match: Oniguruma's own default, with which `tokenizers` fails, too.
constexpr std::uint64_t kStepsPerMatch = 10'000'000;
// A search begins with this limit; one that meets it is done again with 16 times as much, and its
// limits are counted against those of all texts.
constexpr std::uint64_t kFirstSteps = 4096, kStepsFactor = 16;
constexpr std::uint64_t kStepsPerByte = 16, kStepsAtStart = 2 * kStepsPerMatch;
// Characters that a text's searches may pass, again and again where they do not match in the end.
// Ordinary texts and expressions pass each some 30 times.
constexpr std::uint64_t kPassesPerByte = 512, kPassesAtStart = 20'000'000;
constexpr std::size_t kMaxTextBytes = 0x7fffffff;   // Oniguruma counts bytes in an int
constexpr unsigned int kStackEntries = 16'000'000;  // of at most 64 bytes each, on the heap

std::string message_of(int code, OnigErrorInfo* info = nullptr) {
  UChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = info != nullptr ? onig_error_code_to_str(text, code, info)
                                     : onig_error_code_to_str(text, code);
  return std::string(reinterpret_cast<const char*>(text), static_cast<std::size_t>(length));
}

// Oniguruma counts steps back, and none forward. But whatever passes a character asks its encoding
// for its length (what does not in a loop, checked_regex() rewrites). So this one counts. Beyond
// the limit every character is longer than any text: nothing matches, and the search ends soon.
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
thread_local std::uint64_t passes_left = kUnlimited;

int counted_length(const UChar* character) {
  if (passes_left == 0) return std::numeric_limits<int>::max();
  --passes_left;
  return OnigEncodingUTF8.mbc_enc_len(character);
}

OnigEncoding counted_utf8() {
  static OnigEncodingType encoding = [] {
    OnigEncodingType utf8 = OnigEncodingUTF8;
    utf8.mbc_enc_len = counted_length;
    return utf8;
  }();
  return &encoding;
}

const UChar* units(const char* text) { return reinterpret_cast<const UChar*>(text); }

struct RegexFree {
  void operator()(regex_t* regex) const { onig_free(regex); }
};
using CompiledRegex = std::unique_ptr<regex_t, RegexFree>;

CompiledRegex compile(const std::string& pattern, const std::string& where) {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {counted_utf8()};
    onig_initialize(encodings, 1);
    onig_set_warn_func(onig_null_warn);
    onig_set_verb_warn_func(onig_null_warn);
  });
  const auto invalid = find_invalid_utf8(pattern);
  if (invalid) {
    refuse(where, "the regular expression " + printable(pattern) + " is not UTF-8 at its byte " +
                      std::to_string(*invalid));
  }
  const std::string checked = checked_regex(pattern, where);
  regex_t* compiled = nullptr;
  OnigErrorInfo info{};
  const int code =
      onig_new(&compiled, units(checked.data()), units(checked.data() + checked.size()),
               ONIG_OPTION_NONE, counted_utf8(), ONIG_SYNTAX_ONIGURUMA, &info);
  if (code != ONIG_NORMAL) {
    refuse(where, "the regular expression " + regex_text(pattern) +
                      " is broken or not supported by Oniguruma " + onig_version() + " (" +
                      message_of(code, &info) + ")");
  }
  return CompiledRegex(compiled);
}

}  // namespace

struct Regex::Impl {
  std::string pattern;
  std::string where;
  CompiledRegex code;  // none: `pattern` is plain text
};

Regex::Regex(const std::string& pattern, bool literal, const std::string& where)
    : impl_(std::make_unique<Impl>(
          Impl{pattern, where, literal ? nullptr : compile(pattern, where)})) {}

Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

struct Regex::Search::Impl {
  const Regex::Impl* regex;
  OnigRegion* region;
  OnigMatchParam* limits;
  std::uint64_t steps_left = kStepsAtStart, passes_left = kPassesAtStart;

  bool find(std::string_view text, std::size_t at);
  [[noreturn]] void give_up(const std::string& reason) const;
};

Regex::Search::Search(const Regex& regex)
    : impl_(std::make_unique<Impl>(
          Impl{regex.impl_.get(), onig_region_new(), onig_new_match_param()})) {
  if (impl_->region == nullptr || impl_->limits == nullptr)
    throw OutOfMemory("no memory for a regular expression's match");
  onig_initialize_match_param(impl_->limits);
  onig_set_match_stack_limit_size_of_match_param(impl_->limits, kStackEntries);
}

Regex::Search::~Search() {
  if (!impl_) return;
  onig_region_free(impl_->region, 1);
  onig_free_match_param(impl_->limits);
}

void Regex::Search::Impl::give_up(const std::string& reason) const {
  throw UnencodableText(regex->where + ": the regular expression " + regex_text(regex->pattern) +
                        " cannot be matched in a text (" + reason + "): leave the text out");
}

// Whether there is a match from `at` on; its bounds are in `region`.
bool Regex::Search::Impl::find(std::string_view text, std::size_t at) {
  if (text.size() > kMaxTextBytes) give_up("it is longer than 2 GiB");
  const UChar* begin = units(text.data());
  const UChar* end = begin + text.size();
  for (std::uint64_t steps = kFirstSteps;; steps *= kStepsFactor) {
    const std::uint64_t in_match = std::min(steps, kStepsPerMatch);
    onig_set_retry_limit_in_match_of_match_param(limits, in_match);
    onig_set_retry_limit_in_search_of_match_param(limits, steps);
    tovamill::passes_left = passes_left;
    const int place = onig_search_with_param(regex->code.get(), begin, end, begin + at, end, region,
                                             ONIG_OPTION_NONE, limits);
    passes_left = std::exchange(tovamill::passes_left, kUnlimited);
    if (passes_left == 0) give_up("its characters are passed too often");
    if (place >= 0) return true;
    if (place == ONIG_MISMATCH) return false;
    if (place == ONIGERR_MEMORY) throw OutOfMemory("no memory for a regular expression's match");
    const bool may_grow = place == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER ||
                          (place == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER && in_match < kStepsPerMatch);
    if (!may_grow || steps > steps_left) give_up(message_of(place));
    steps_left -= steps;
  }
}

void Regex::Search::for_each(std::string_view text, const std::function<void(Span)>& found) {
  const std::string& pattern = impl_->regex->pattern;
  if (!impl_->regex->code) {
    for (auto at = text.find(pattern); at != std::string_view::npos;
         at = text.find(pattern, at + pattern.size()))
      found({at, at + pattern.size()});
    return;
  }
  impl_->steps_left += kStepsPerByte * text.size();
  impl_->passes_left += kPassesPerByte * text.size();
  std::size_t at = 0;
  std::size_t last_end = text.size() + 1;  // of the last match: none yet
  while (at <= text.size() && impl_->find(text, at)) {
    const Span span{static_cast<std::size_t>(impl_->region->beg[0]),
                    static_cast<std::size_t>(impl_->region->end[0])};
    if (span.begin == span.end &&
        span.begin == last_end) {  // empty, right behind the last one: continue behind it
      at = span.end + std::max<std::size_t>(1, decode_utf8(text, span.end).length);
      continue;
    }
    found(span);
    at = last_end = span.end;
  }
}

}  // namespace tovamill
