// How deep the evaluation of a Jinja template goes: a template cannot exhaust the stack.
#pragma once

#include "engine/prompt/jinja_evaluator.h"

namespace tovamill {

class JinjaEvaluator::Nesting {
 public:
  Nesting(JinjaEvaluator& evaluator, JinjaPlace place) : evaluator_(evaluator) {
    if (evaluator_.depth_ >= kMaxDepth) throw JinjaError(place, "it nests too deeply");
    ++evaluator_.depth_;
  }
  ~Nesting() { --evaluator_.depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  static constexpr int kMaxDepth = 500;

  JinjaEvaluator& evaluator_;
};

}  // namespace tovamill
