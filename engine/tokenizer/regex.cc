#include "engine/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>

#include "engine/text/utf8.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::uint32_t kMatchLimit =
    10'000'000;  // PCRE2's own default: backtracking points of one match
constexpr std::uint32_t kDepthLimit = 100'000;            // nested backtracking, of the interpreter
constexpr std::uint32_t kHeapLimit = 512 * 1024;          // KiB, of the interpreter
constexpr std::size_t kJitStackBytes = 64 * 1024 * 1024;  // at most; taken as needed

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// \s and \S as White_Space (PCRE2's also hold U+180E).
std::string with_unicode_spaces(const std::string& pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char c = pattern[++i];
    out += c == 's' ? "\\p{White_Space}" : c == 'S' ? "\\P{White_Space}" : std::string{'\\', c};
  }
  return out;
}

struct CodeFree {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using Code = std::unique_ptr<pcre2_code, CodeFree>;

Code compile(const std::string& pattern, bool literal, int& error, PCRE2_SIZE& offset) {
  std::uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK;
  options |= literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  return Code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options,
                            &error, &offset, nullptr));
}

}  // namespace

struct Regex::Impl {
  std::string pattern;
  std::string where;
  Code code;
};

Regex::Regex(const std::string& pattern, bool literal, const std::string& where)
    : impl_(std::make_unique<Impl>(Impl{pattern, where, nullptr})) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  if (!find_invalid_utf8(pattern)) {
    // A PCRE2 older than 10.40 has no White_Space: then its own \s is used.
    if (!literal) impl_->code = compile(with_unicode_spaces(pattern), literal, error, offset);
    if (!impl_->code) impl_->code = compile(pattern, literal, error, offset);
  }
  if (!impl_->code) {
    throw BadData(where + ": the regular expression '" + pattern +
                  "' is broken or not supported (" + pcre2_message(error) + " at " +
                  std::to_string(offset) + "): use the model's original tokenizer");
  }
  pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);  // without JIT the interpreter is used
}

Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

struct Regex::Search::Impl {
  const Regex::Impl* regex;
  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

Regex::Search::Search(const Regex& regex)
    : impl_(std::make_unique<Impl>(Impl{
          regex.impl_.get(), pcre2_match_data_create_from_pattern(regex.impl_->code.get(), nullptr),
          pcre2_match_context_create(nullptr),
          pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr)})) {
  if (!impl_->data || !impl_->context)
    throw OutOfMemory("no memory for a regular expression's match");
  pcre2_set_match_limit(impl_->context, kMatchLimit);
  pcre2_set_depth_limit(impl_->context, kDepthLimit);
  pcre2_set_heap_limit(impl_->context, kHeapLimit);
  if (impl_->stack) pcre2_jit_stack_assign(impl_->context, nullptr, impl_->stack);
}

Regex::Search::~Search() {
  if (!impl_) return;
  pcre2_match_data_free(impl_->data);
  pcre2_match_context_free(impl_->context);
  pcre2_jit_stack_free(impl_->stack);
}

void Regex::Search::for_each(std::string_view text, const std::function<void(Span)>& found) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  std::size_t last_end = text.size() + 1;  // of the last match: none yet
  while (at <= text.size()) {
    const int rc = pcre2_match(impl_->regex->code.get(), subject, text.size(), at,
                               PCRE2_NO_UTF_CHECK, impl_->data, impl_->context);
    if (rc == PCRE2_ERROR_NOMATCH) return;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(impl_->data);
    if (rc < 0 || bounds[0] > bounds[1] || bounds[0] < at) {
      throw BadData(impl_->regex->where + ": the regular expression '" + impl_->regex->pattern +
                    "' cannot be matched (" + (rc < 0 ? pcre2_message(rc) : "it uses \\K") +
                    "): use the model's original tokenizer");
    }
    const Span span{bounds[0], bounds[1]};
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
