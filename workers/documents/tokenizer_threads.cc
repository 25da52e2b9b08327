#include "workers/documents/tokenizer_threads.h"

#include <system_error>
#include <utility>

#include "io/corpus/corpus.h"

namespace tovamill {

TokenizerThreads::TokenizerThreads(const Tokenizer& tokenizer, int n_threads,
                                   std::shared_ptr<const TokenClassifier> classifier)
    : tokenizer_(tokenizer), classifier_(std::move(classifier)) {
  try {
    for (int i = 0; i < n_threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // A limit of threads or memory: fewer do the same, or none.
  }
}

TokenizerThreads::~TokenizerThreads() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  news_.notify_all();
  for (std::thread& t : threads_) t.join();
}

std::future<TextTokens> TokenizerThreads::start(std::string text, bool parse_special) {
  std::packaged_task<TextTokens()> task([this, t = std::move(text), parse_special] {
    TextTokens tokens;
    try {
      tokenizer_.encode(t, parse_special, tokens.ids);
    } catch (const UnencodableText& e) {
      tokens = {};
      tokens.rejection = e.what();
    }
    tokens.classifier = classifier_;
    if (classifier_) tokens.labels = classifier_->label(tokens.ids);
    tokens.n_words = count_words(t);
    tokens.n_bytes = t.size();
    return tokens;
  });
  std::future<TextTokens> future = task.get_future();
  if (threads_.empty()) {
    task();
    return future;
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
  }
  news_.notify_one();
  return future;
}

void TokenizerThreads::work() {
  while (true) {
    std::unique_lock lock(mutex_);
    news_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    std::packaged_task<TextTokens()> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task();
  }
}

}  // namespace tovamill
