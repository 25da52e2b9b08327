// Texts become tokens in threads of their own, ahead of the steps that read them, so that a GPU
// does not wait for a long document.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/classes/token_classes.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {

struct TextTokens {
  std::vector<TokenId> ids;  // without BOS
  std::uint64_t n_words = 0, n_bytes = 0;
  std::shared_ptr<const TokenClassifier> classifier;  // where tokens are classified:
  TokenLabels labels;                                 // of ids
  std::string rejection;  // why the tokenizer does not take the text; then there are no ids
};

class TokenizerThreads {
 public:
  // Without threads a text's tokens are there at once. The tokenizer outlives the object.
  // With a classifier the tokens have labels.
  TokenizerThreads(const Tokenizer& tokenizer, int n_threads,
                   std::shared_ptr<const TokenClassifier> classifier = nullptr);
  ~TokenizerThreads();  // what is not begun is left
  TokenizerThreads(const TokenizerThreads&) = delete;
  TokenizerThreads& operator=(const TokenizerThreads&) = delete;

  // In the order of the calls. A text that the tokenizer does not take is rejected.
  std::future<TextTokens> start(std::string text, bool parse_special);

 private:
  void work();

  const Tokenizer& tokenizer_;
  std::shared_ptr<const TokenClassifier> classifier_;
  std::mutex mutex_;
  std::condition_variable news_;
  std::deque<std::packaged_task<TextTokens()>> waiting_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tovamill
